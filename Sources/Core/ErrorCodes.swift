/// MongoDB's codes: those that Quorate answers with, and others whose names a reply must know because a fail point may
/// be told to answer with them. Codes without a name of their own are `Location` and the number, as theirs.
extension ErrorCode {
    public static let internalError = ErrorCode(1)
    public static let badValue = ErrorCode(2)
    public static let noSuchKey = ErrorCode(4)
    public static let graphContainsCycle = ErrorCode(5)
    public static let hostUnreachable = ErrorCode(6)
    public static let hostNotFound = ErrorCode(7)
    public static let unknownError = ErrorCode(8)
    public static let failedToParse = ErrorCode(9)
    public static let cannotMutateObject = ErrorCode(10)
    public static let userNotFound = ErrorCode(11)
    public static let unauthorized = ErrorCode(13)
    public static let typeMismatch = ErrorCode(14)
    public static let overflow = ErrorCode(15)
    public static let invalidLength = ErrorCode(16)
    public static let protocolError = ErrorCode(17)
    public static let authenticationFailed = ErrorCode(18)
    public static let illegalOperation = ErrorCode(20)
    public static let invalidBSON = ErrorCode(22)
    public static let alreadyInitialized = ErrorCode(23)
    public static let lockTimeout = ErrorCode(24)
    public static let namespaceNotFound = ErrorCode(26)
    public static let indexNotFound = ErrorCode(27)
    public static let pathNotViable = ErrorCode(28)
    public static let userAlreadyExists = ErrorCode(31)
    public static let conflictingUpdateOperators = ErrorCode(40)
    public static let cursorNotFound = ErrorCode(43)
    public static let namespaceExists = ErrorCode(48)
    public static let maxTimeMSExpired = ErrorCode(50)
    public static let manualInterventionRequired = ErrorCode(51)
    public static let dollarPrefixedFieldName = ErrorCode(52)
    public static let invalidIdField = ErrorCode(53)
    public static let notSingleValueField = ErrorCode(54)
    public static let emptyFieldName = ErrorCode(56)
    public static let dottedFieldName = ErrorCode(57)
    public static let commandNotFound = ErrorCode(59)
    public static let shardKeyNotFound = ErrorCode(61)
    public static let oplogOperationUnsupported = ErrorCode(62)
    public static let staleShardVersion = ErrorCode(63)
    public static let writeConcernTimeout = ErrorCode(64)
    public static let immutableField = ErrorCode(66)
    public static let cannotCreateIndex = ErrorCode(67)
    public static let indexAlreadyExists = ErrorCode(68)
    public static let shardNotFound = ErrorCode(70)
    public static let invalidOptions = ErrorCode(72)
    public static let invalidNamespace = ErrorCode(73)
    public static let nodeNotFound = ErrorCode(74)
    public static let noReplicationEnabled = ErrorCode(76)
    public static let unknownReplWriteConcern = ErrorCode(79)
    public static let indexOptionsConflict = ErrorCode(85)
    public static let indexKeySpecsConflict = ErrorCode(86)
    /// The shard key needs that index.
    public static let cannotDropShardKeyIndex = ErrorCode(265)
    /// A chunk cannot be split there.
    public static let cannotSplit = ErrorCode(87)
    public static let networkTimeout = ErrorCode(89)
    public static let shutdownInProgress = ErrorCode(91)
    public static let invalidReplicaSetConfig = ErrorCode(93)
    public static let notYetInitialized = ErrorCode(94)
    public static let notSecondary = ErrorCode(95)
    public static let operationFailed = ErrorCode(96)
    public static let unsatisfiableWriteConcern = ErrorCode(100)
    public static let outdatedClient = ErrorCode(101)
    public static let newReplicaSetConfigurationIncompatible = ErrorCode(103)
    public static let nodeNotElectable = ErrorCode(104)
    public static let incompatibleShardingMetadata = ErrorCode(105)
    public static let inconsistentReplicaSetNames = ErrorCode(108)
    public static let configurationInProgress = ErrorCode(109)
    public static let cannotInitializeNodeWithData = ErrorCode(110)
    public static let notExactValueField = ErrorCode(111)
    public static let writeConflict = ErrorCode(112)
    public static let commandNotSupported = ErrorCode(115)
    public static let conflictingOperationInProgress = ErrorCode(117)
    public static let namespaceNotSharded = ErrorCode(118)
    public static let invalidSyncSource = ErrorCode(119)
    public static let oplogStartMissing = ErrorCode(120)
    public static let documentValidationFailure = ErrorCode(121)
    public static let notAReplicaSet = ErrorCode(123)
    public static let incompatibleElectionProtocol = ErrorCode(124)
    public static let commandFailed = ErrorCode(125)
    public static let rpcProtocolNotSupported = ErrorCode(126)
    public static let invalidSSLConfiguration = ErrorCode(132)
    public static let failedToSatisfyReadPreference = ErrorCode(133)
    public static let readConcernMajorityNotAvailableYet = ErrorCode(134)
    public static let staleTerm = ErrorCode(135)
    public static let cappedPositionLost = ErrorCode(136)
    public static let incompatibleShardingConfigVersion = ErrorCode(137)
    public static let exceededMemoryLimit = ErrorCode(146)
    /// A collection was sharded anew.
    public static let staleEpoch = ErrorCode(150)
    /// A jumbo chunk is to be moved.
    public static let chunkTooBig = ErrorCode(153)
    /// A zone has ranges, and no other shard.
    public static let zoneStillInUse = ErrorCode(163)
    /// No shard is in the zone.
    public static let zoneNotFound = ErrorCode(177)
    /// Two ranges have keys in common that must not.
    public static let rangeOverlapConflict = ErrorCode(178)
    /// Who owned a range at that time is forgotten.
    public static let staleChunkHistory = ErrorCode(250)
    public static let indexModified = ErrorCode(157)
    public static let duplicateSession = ErrorCode(159)
    public static let viewDepthLimitExceeded = ErrorCode(165)
    public static let commandNotSupportedOnView = ErrorCode(166)
    public static let optionNotSupportedOnView = ErrorCode(167)
    public static let viewPipelineMaxSizeExceeded = ErrorCode(195)
    public static let invalidPipelineOperator = ErrorCode(168)
    public static let cannotIndexParallelArrays = ErrorCode(171)
    public static let queryPlanKilled = ErrorCode(175)
    public static let ambiguousIndexKeyPattern = ErrorCode(181)
    public static let tooManyLogicalSessions = ErrorCode(184)
    public static let primarySteppedDown = ErrorCode(189)
    public static let cannotGrowDocumentInCappedNamespace = ErrorCode(193)
    public static let invalidIndexSpecificationOption = ErrorCode(197)
    public static let clusterTimeFailsRateLimiter = ErrorCode(205)
    public static let noSuchSession = ErrorCode(206)
    public static let staleClusterTime = ErrorCode(209)
    public static let keyNotFound = ErrorCode(211)
    public static let incompleteTransactionHistory = ErrorCode(217)
    public static let transactionTooOld = ErrorCode(225)
    public static let socketException = ErrorCode(9001)
    public static let unsupportedOpQueryCommand = ErrorCode(352)
    public static let clientMetadataDocumentTooLarge = ErrorCode(187)
    public static let maxSubPipelineDepthExceeded = ErrorCode(232)
    public static let retryChangeStream = ErrorCode(234)
    public static let cursorKilled = ErrorCode(237)
    public static let notImplemented = ErrorCode(238)
    public static let snapshotTooOld = ErrorCode(239)
    public static let conversionFailure = ErrorCode(241)
    public static let transactionAborted = ErrorCode(244)
    public static let snapshotUnavailable = ErrorCode(246)
    public static let staleDbVersion = ErrorCode(249)
    public static let noSuchTransaction = ErrorCode(251)
    public static let transactionCommitted = ErrorCode(256)
    public static let transactionTooLarge = ErrorCode(257)
    public static let exceededTimeLimit = ErrorCode(262)
    public static let operationNotSupportedInTransaction = ErrorCode(263)
    public static let failPointSetFailed = ErrorCode(266)
    public static let preparedTransactionInProgress = ErrorCode(267)
    public static let indexBuildAborted = ErrorCode(276)
    public static let unsatisfiableCommitQuorum = ErrorCode(278)
    public static let clientDisconnect = ErrorCode(279)
    public static let changeStreamHistoryLost = ErrorCode(286)
    public static let transactionExceededLifetimeLimitSeconds = ErrorCode(290)
    public static let queryExceededMemoryLimitNoDiskUseAllowed = ErrorCode(292)
    public static let currentConfigNotCommittedYet = ErrorCode(308)
    public static let objectIsBusy = ErrorCode(314)
    public static let apiVersionError = ErrorCode(322)
    public static let apiStrictError = ErrorCode(323)
    public static let apiDeprecationError = ErrorCode(324)
    public static let unsupportedShardingEventNotification = ErrorCode(331)
    public static let cannotConvertIndexToUnique = ErrorCode(359)
    public static let notWritablePrimary = ErrorCode(10107)
    public static let bsonObjectTooLarge = ErrorCode(10334)
    public static let duplicateKey = ErrorCode(11000)
    public static let interruptedAtShutdown = ErrorCode(11600)
    public static let interrupted = ErrorCode(11601)
    public static let interruptedDueToReplStateChange = ErrorCode(11602)
    public static let staleConfig = ErrorCode(13388)
    public static let notPrimaryNoSecondaryOk = ErrorCode(13435)
    public static let notPrimaryOrSecondary = ErrorCode(13436)
    /// The disk is full: writes are taken again when there is room.
    public static let outOfDiskSpace = ErrorCode(14031)
    public static let keyTooLong = ErrorCode(17280)
    public static let pathCollision = ErrorCode(31249)
    public static let unrecognizedPipelineStage = ErrorCode(40324)
    public static let unknownField = ErrorCode(40415)
    public static let missingField = ErrorCode(40414)
    public static let duplicateField = ErrorCode(40413)
    public static let notARetryableWriteCommand = ErrorCode(50768)

    /// The `codeName` of a reply.
    public var name: String { ErrorCode.names[rawValue] ?? "Location\(rawValue)" }

    private static let names: [Int32: String] = [
        1: "InternalError",
        2: "BadValue",
        4: "NoSuchKey",
        5: "GraphContainsCycle",
        6: "HostUnreachable",
        7: "HostNotFound",
        8: "UnknownError",
        9: "FailedToParse",
        10: "CannotMutateObject",
        11: "UserNotFound",
        13: "Unauthorized",
        14: "TypeMismatch",
        15: "Overflow",
        16: "InvalidLength",
        17: "ProtocolError",
        18: "AuthenticationFailed",
        20: "IllegalOperation",
        22: "InvalidBSON",
        23: "AlreadyInitialized",
        24: "LockTimeout",
        26: "NamespaceNotFound",
        27: "IndexNotFound",
        28: "PathNotViable",
        31: "UserAlreadyExists",
        40: "ConflictingUpdateOperators",
        43: "CursorNotFound",
        48: "NamespaceExists",
        50: "MaxTimeMSExpired",
        51: "ManualInterventionRequired",
        52: "DollarPrefixedFieldName",
        53: "InvalidIdField",
        54: "NotSingleValueField",
        56: "EmptyFieldName",
        57: "DottedFieldName",
        59: "CommandNotFound",
        61: "ShardKeyNotFound",
        62: "OplogOperationUnsupported",
        63: "StaleShardVersion",
        64: "WriteConcernTimeout",
        66: "ImmutableField",
        67: "CannotCreateIndex",
        68: "IndexAlreadyExists",
        70: "ShardNotFound",
        72: "InvalidOptions",
        73: "InvalidNamespace",
        74: "NodeNotFound",
        76: "NoReplicationEnabled",
        79: "UnknownReplWriteConcern",
        96: "OperationFailed",
        85: "IndexOptionsConflict",
        86: "IndexKeySpecsConflict",
        87: "CannotSplit",
        265: "CannotDropShardKeyIndex",
        150: "StaleEpoch",
        153: "ChunkTooBig",
        163: "ZoneStillInUse",
        177: "ZoneNotFound",
        178: "RangeOverlapConflict",
        250: "StaleChunkHistory",
        89: "NetworkTimeout",
        91: "ShutdownInProgress",
        93: "InvalidReplicaSetConfig",
        94: "NotYetInitialized",
        95: "NotSecondary",
        100: "UnsatisfiableWriteConcern",
        101: "OutdatedClient",
        103: "NewReplicaSetConfigurationIncompatible",
        104: "NodeNotElectable",
        105: "IncompatibleShardingMetadata",
        108: "InconsistentReplicaSetNames",
        109: "ConfigurationInProgress",
        110: "CannotInitializeNodeWithData",
        111: "NotExactValueField",
        112: "WriteConflict",
        115: "CommandNotSupported",
        117: "ConflictingOperationInProgress",
        118: "NamespaceNotSharded",
        119: "InvalidSyncSource",
        120: "OplogStartMissing",
        121: "DocumentValidationFailure",
        123: "NotAReplicaSet",
        124: "IncompatibleElectionProtocol",
        125: "CommandFailed",
        126: "RPCProtocolNotSupported",
        132: "InvalidSSLConfiguration",
        133: "FailedToSatisfyReadPreference",
        134: "ReadConcernMajorityNotAvailableYet",
        135: "StaleTerm",
        136: "CappedPositionLost",
        137: "IncompatibleShardingConfigVersion",
        146: "ExceededMemoryLimit",
        157: "IndexModified",
        159: "DuplicateSession",
        165: "ViewDepthLimitExceeded",
        166: "CommandNotSupportedOnView",
        167: "OptionNotSupportedOnView",
        168: "InvalidPipelineOperator",
        171: "CannotIndexParallelArrays",
        175: "QueryPlanKilled",
        181: "AmbiguousIndexKeyPattern",
        184: "TooManyLogicalSessions",
        189: "PrimarySteppedDown",
        193: "CannotGrowDocumentInCappedNamespace",
        195: "ViewPipelineMaxSizeExceeded",
        197: "InvalidIndexSpecificationOption",
        205: "ClusterTimeFailsRateLimiter",
        206: "NoSuchSession",
        209: "StaleClusterTime",
        211: "KeyNotFound",
        217: "IncompleteTransactionHistory",
        225: "TransactionTooOld",
        9001: "SocketException",
        278: "UnsatisfiableCommitQuorum",
        352: "UnsupportedOpQueryCommand",
        359: "CannotConvertIndexToUnique",
        187: "ClientMetadataDocumentTooLarge",
        232: "MaxSubPipelineDepthExceeded",
        234: "RetryChangeStream",
        237: "CursorKilled",
        238: "NotImplemented",
        239: "SnapshotTooOld",
        241: "ConversionFailure",
        244: "TransactionAborted",
        246: "SnapshotUnavailable",
        249: "StaleDbVersion",
        251: "NoSuchTransaction",
        256: "TransactionCommitted",
        257: "TransactionTooLarge",
        262: "ExceededTimeLimit",
        263: "OperationNotSupportedInTransaction",
        266: "FailPointSetFailed",
        267: "PreparedTransactionInProgress",
        276: "IndexBuildAborted",
        279: "ClientDisconnect",
        286: "ChangeStreamHistoryLost",
        290: "TransactionExceededLifetimeLimitSeconds",
        292: "QueryExceededMemoryLimitNoDiskUseAllowed",
        308: "CurrentConfigNotCommittedYet",
        314: "ObjectIsBusy",
        322: "APIVersionError",
        323: "APIStrictError",
        324: "APIDeprecationError",
        331: "UnsupportedShardingEventNotification",
        10107: "NotWritablePrimary",
        10334: "BSONObjectTooLarge",
        11000: "DuplicateKey",
        11600: "InterruptedAtShutdown",
        11601: "Interrupted",
        11602: "InterruptedDueToReplStateChange",
        13388: "StaleConfig",
        13435: "NotPrimaryNoSecondaryOk",
        13436: "NotPrimaryOrSecondary",
        14031: "OutOfDiskSpace",
        17280: "Location17280",
        31249: "Location31249",
        40324: "Location40324",
        40413: "IDLDuplicateField",
        40414: "IDLFailedToParse",
        40415: "IDLUnknownField",
        4_886_600: "Location4886600",
        50768: "Location50768",
    ]
}
