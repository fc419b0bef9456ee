public import BSON
public import Core

extension ReplicaSetConfig {
    /// Writes the configuration as `replSetGetConfig` shows it; with `internalFields`, as members store and send it.
    public func encode(to writer: DocumentWriter, internalFields: Bool = false) {
        writer.append("_id", string: setName)
        writer.append("version", int32: Int32(clamping: version))
        writer.append("term", int64: term)
        if internalFields, let userVersion { writer.append("userVersion", int64: userVersion) }
        writer.array("members") { array in
            for member in members { array.document { member.encode(to: $0, internalFields: internalFields) } }
        }
        writer.append("protocolVersion", int64: 1)
        writer.append("writeConcernMajorityJournalDefault", bool: writeConcernMajorityJournalDefault)
        writer.document("settings") { encodeSettings(to: $0, internalFields: internalFields) }
    }

    private func encodeSettings(to writer: DocumentWriter, internalFields: Bool) {
        writer.append("chainingAllowed", bool: settings.chainingAllowed)
        writer.append("heartbeatIntervalMillis", int32: Int32(clamping: settings.heartbeatIntervalMillis))
        writer.append("heartbeatTimeoutSecs", int32: Int32(clamping: settings.heartbeatTimeoutSecs))
        writer.append("electionTimeoutMillis", int32: Int32(clamping: settings.electionTimeoutMillis))
        writer.append("catchUpTimeoutMillis", int32: Int32(clamping: settings.catchUpTimeoutMillis))
        writer.append("catchUpTakeoverDelayMillis", int32: Int32(clamping: settings.catchUpTakeoverDelayMillis))
        writer.document("getLastErrorModes") { modes in
            for mode in settings.writeConcernModes {
                modes.document(mode.name) { tags in
                    for tag in mode.tags { tags.append(tag.name, .int32(tag.count)) }
                }
            }
        }
        if let chosen = settings.writeConcernDefault {
            writer.document("getLastErrorDefaults") { chosen.encode(to: $0) }
        } else if !internalFields {
            writer.document("getLastErrorDefaults") {
                $0.append("w", int32: 1)
                $0.append("wtimeout", int32: 0)
            }
        }
        if let id = settings.replicaSetID { writer.append("replicaSetId", objectID: id) }
    }

    /// The configuration as members store and send it.
    public var storedDocument: Document { Document { encode(to: $0, internalFields: true) } }

    /// Reads and validates a configuration from a user: internal fields are refused.
    /// `defaultVersion`: what a missing `version` stands for; `replSetInitiate` takes 1.
    /// - Throws: `InvalidReplicaSetConfig`, naming the field.
    public init(userDocument view: DocumentView, defaultVersion: Int64? = nil) throws(ServerError) {
        try self.init(view, internalFields: false, defaultVersion: defaultVersion)
    }

    /// Reads and validates a configuration that a member stored or sent.
    public init(storedDocument view: DocumentView) throws(ServerError) {
        try self.init(view, internalFields: true, defaultVersion: nil)
    }

    private init(_ view: DocumentView, internalFields: Bool, defaultVersion: Int64?) throws(ServerError) {
        let fields = ConfigFields(view, path: "")
        try fields.allowOnly([
            "_id", "version", "term", "members", "configsvr", "protocolVersion", "writeConcernMajorityJournalDefault",
            "settings", internalFields ? "userVersion" : "settings",
        ])
        setName = try fields.requiredString("_id")
        version = try fields.integer("version", default: defaultVersion, in: 1...Int64(Int32.max))
        term = try fields.integer("term", default: ConfigVersion.uninitializedTerm, in: -1...Limits.electionTermMax)
        userVersion = view["userVersion"]?.asInteger
        if try fields.bool("configsvr", default: false) {
            throw fields.error("configsvr", "must be false: there is no sharding; leave the field out")
        }
        _ = try fields.integer("protocolVersion", default: 1, in: 1...1)
        writeConcernMajorityJournalDefault = try fields.bool("writeConcernMajorityJournalDefault", default: true)
        guard let list = view["members"]?.asArray else {
            throw ConfigFields.error("members", "must be an array of member documents")
        }
        members = []
        for element in list {
            let path = "members.\(element.key.string)."
            guard let member = element.value.asDocument else {
                throw ConfigFields.error("members.\(element.key.string)", "must be a document")
            }
            guard members.count < Limits.membersMax else {
                throw ConfigFields.error("members", "a replica set has at most \(Limits.membersMax) members")
            }
            members.append(try MemberConfig(ConfigFields(member, path: path), internalFields: internalFields))
        }
        if let value = view["settings"] {
            guard let document = value.asDocument else { throw ConfigFields.error("settings", "must be a document") }
            settings = try Settings(ConfigFields(document, path: "settings."))
        }
        try validate()
    }
}

extension MemberConfig {
    func encode(to writer: DocumentWriter, internalFields: Bool) {
        writer.append("_id", int32: id)
        writer.append("host", string: host)
        writer.append("arbiterOnly", bool: isArbiter)
        writer.append("buildIndexes", bool: true)
        writer.append("hidden", bool: isHidden)
        writer.append("priority", double: priority)
        writer.document("tags") { document in
            for tag in tags { document.append(tag.name, .string(tag.value)) }
        }
        writer.append("secondaryDelaySecs", int64: secondaryDelaySeconds)
        writer.append("votes", int32: votes)
        guard internalFields else { return }
        if isNewlyAdded { writer.append("newlyAdded", bool: true) }
        if let incarnation { writer.document("incarnation") { incarnation.encode(to: $0) } }
    }

    init(_ fields: ConfigFields, internalFields: Bool) throws(ServerError) {
        try fields.allowOnly([
            "_id", "host", "arbiterOnly", "buildIndexes", "hidden", "priority", "tags", "secondaryDelaySecs",
            "slaveDelay",
            "votes", "horizons", "newlyAdded", "incarnation",
        ])
        id = Int32(truncatingIfNeeded: try fields.integer("_id", default: nil, in: 0...Int64(Int32.max)))
        let text = try fields.requiredString("host")
        guard let endpoint = Endpoint(text), !endpoint.host.isEmpty else {
            throw fields.error("host", "must be host:port, not '\(text)'")
        }
        host = endpoint.description
        isArbiter = try fields.bool("arbiterOnly", default: false)
        if try !fields.bool("buildIndexes", default: true) {
            throw fields.error(
                "buildIndexes", "must be true: every member builds all indexes; leave the field out")
        }
        isHidden = try fields.bool("hidden", default: false)
        priority = try fields.number("priority", default: isArbiter ? 0 : 1, in: 0...1000)
        // As configurations of before 3.6 had it.
        if isArbiter, priority == 1 { priority = 0 }
        let delays: ClosedRange<Int64> = 0...31_622_400
        // As configurations of before 5.0 had it.
        let old = try fields.integer("slaveDelay", default: 0, in: delays)
        secondaryDelaySeconds = try fields.integer("secondaryDelaySecs", default: old, in: delays)
        guard fields.view["slaveDelay"] == nil || old == secondaryDelaySeconds else {
            throw fields.error(
                "slaveDelay",
                "is \(old) and secondaryDelaySecs \(secondaryDelaySeconds), its name of today: "
                    + "set secondaryDelaySecs and leave slaveDelay out")
        }
        votes = Int32(truncatingIfNeeded: try fields.integer("votes", default: 1, in: 0...1))
        if let value = fields.view["tags"] {
            guard let document = value.asDocument else { throw fields.error("tags", "must be a document of strings") }
            for element in document {
                guard let tag = element.value.asString else {
                    throw fields.error("tags.\(element.key.string)", "must be a string")
                }
                tags.append(Tag(element.key.string, tag))
            }
        }
        if let value = fields.view["horizons"] {
            guard value.asDocument?.isEmpty == true else {
                throw fields.error(
                    "horizons", "must be empty or left out: hello names each member by its host, to whoever asks")
            }
        }
        guard internalFields else {
            guard fields.view["newlyAdded"] == nil, fields.view["incarnation"] == nil else {
                throw fields.error("newlyAdded", "is set by the replica set itself")
            }
            return
        }
        isNewlyAdded = try fields.bool("newlyAdded", default: false)
        incarnation = fields.view["incarnation"]?.asDocument.flatMap { Incarnation($0) }
    }
}

extension ReplicaSetConfig.Settings {
    init(_ fields: ConfigFields) throws(ServerError) {
        try fields.allowOnly([
            "chainingAllowed", "heartbeatIntervalMillis", "heartbeatTimeoutSecs", "electionTimeoutMillis",
            "catchUpTimeoutMillis", "catchUpTakeoverDelayMillis", "getLastErrorModes", "getLastErrorDefaults",
            "replicaSetId",
        ])
        let positive: ClosedRange<Int64> = 1...Int64(Int32.max)
        let optional: ClosedRange<Int64> = -1...Int64(Int32.max)
        chainingAllowed = try fields.bool("chainingAllowed", default: true)
        heartbeatIntervalMillis = try fields.integer("heartbeatIntervalMillis", default: 2000, in: positive)
        heartbeatTimeoutSecs = try fields.integer("heartbeatTimeoutSecs", default: 10, in: positive)
        electionTimeoutMillis = try fields.integer("electionTimeoutMillis", default: 10_000, in: positive)
        catchUpTimeoutMillis = try fields.integer("catchUpTimeoutMillis", default: -1, in: optional)
        catchUpTakeoverDelayMillis = try fields.integer("catchUpTakeoverDelayMillis", default: 30_000, in: optional)
        if let value = fields.view["getLastErrorModes"] {
            guard let modes = value.asDocument else { throw fields.error("getLastErrorModes", "must be a document") }
            for mode in modes { writeConcernModes.append(try Self.mode(mode, fields)) }
        }
        if let value = fields.view["getLastErrorDefaults"] {
            guard let document = value.asDocument else {
                throw fields.error("getLastErrorDefaults", "must be a document")
            }
            let concern: WriteConcern
            do { concern = try WriteConcern(document) } catch {
                throw fields.error("getLastErrorDefaults", error.message)
            }
            // replSetGetConfig shows {w: 1, wtimeout: 0} for "not set"; giving that back must not set it.
            if concern != WriteConcern(w: .number(1)) { writeConcernDefault = concern }
        }
        if let value = fields.view["replicaSetId"] {
            guard let id = value.asObjectID else { throw fields.error("replicaSetId", "must be an ObjectId") }
            replicaSetID = id
        }
    }

    private static func mode(
        _ element: DocumentView.Element, _ fields: ConfigFields
    ) throws(ServerError) -> ReplicaSetConfig.WriteConcernMode {
        let path = "getLastErrorModes.\(element.key.string)"
        guard let document = element.value.asDocument else { throw fields.error(path, "must be a document of tags") }
        var tags: [(name: String, count: Int32)] = []
        for tag in document {
            guard let count = tag.value.asInteger, count > 0, count <= Int64(Limits.membersMax) else {
                throw fields.error("\(path).\(tag.key.string)", "must be a positive number")
            }
            tags.append((name: tag.key.string, count: Int32(truncatingIfNeeded: count)))
        }
        return .init(name: element.key.string, tags: tags)
    }
}
