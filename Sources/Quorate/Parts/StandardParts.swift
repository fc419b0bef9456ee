internal import Conformance
internal import Core
internal import ElectionPolicies
internal import FileStorage
internal import LiveRuntime
internal import MemoryStorage
internal import ReadSelectors
internal import ShardKeyStrategies
#if RocksDB
    internal import RocksDBStorage
#endif

extension PartRegistry {
    /// The parts that come with Quorate.
    public static let standard: PartRegistry = {
        var parts = PartRegistry()
        parts.register(
            .storage,
            Part("memory", summary: "a B+tree in memory; forgotten when the process ends") { _ in MemoryStorage() })
        parts.registerPagedMemory()
        parts.register(
            .storage,
            Part(
                "file", summary: "the same tree, with a journal and checkpoints in files: survives restarts",
                options: FileSettings.options, directory: .required
            ) { context in
                FileStorage(
                    context.runtime, LiveDisk(), directory: context.directory ?? "", name: context.memberName,
                    settings: try FileSettings(context.options))
            })
        parts.registerRocksDB()
        parts.register(
            .transport,
            Part("socket", summary: "TCP, and Unix sockets for paths; reaches other processes") { _ in
                SocketNetwork()
            })
        parts.register(
            .transport,
            Part("loopback", summary: "inside the process; clients still come in by sockets") { _ in
                LoopbackTransportNetwork()
            })
        parts.registerElectionPolicies()
        parts.registerReadSelectors()
        parts.registerShardKeyStrategies()
        return parts
    }()

    /// For tests of what waits for a disk; it has no other use.
    private mutating func registerPagedMemory() {
        let oneIn = PartOption("one-in", default: "4", help: "one read in so many waits; 1: each does the first time")
        register(
            .storage,
            Part(
                "memory-paged", summary: "memory that claims at random to be on a disk, to test what waits for one",
                options: [oneIn]
            ) { context in
                let text = context.options.values[oneIn.name] ?? oneIn.defaultValue
                guard let number = Int(text), number > 0 else {
                    throw PartOptionError("memory-paged.one-in must be a number above 0, not '\(text)'")
                }
                return NotResidentStorage(MemoryStorage(), seed: context.runtime.randomNumber(), oneIn: number)
            })
    }

    /// In programs that were built with it.
    private mutating func registerRocksDB() {
        #if RocksDB
            register(
                .storage,
                Part(
                    "rocksdb", summary: "RocksDB, for data larger than memory: survives restarts",
                    options: RocksDBSettings.options, directory: .required
                ) { context in
                    RocksDBStorage(
                        context.runtime, LiveDisk(), directory: context.directory ?? "", name: context.memberName,
                        settings: try RocksDBSettings(context.options))
                })
        #else
            leaveOut(
                .storage, "rocksdb",
                "the storage 'rocksdb' is not built into this program: install librocksdb-dev, and build with "
                    + "'scripts/build --traits RocksDB'")
        #endif
    }

    private mutating func registerElectionPolicies() {
        register(
            .electionPolicy,
            Part(
                "fast", summary: "stands as soon as the connection to the primary breaks",
                options: FastElectionPolicy.options
            ) { try FastElectionPolicy($0) })
        register(
            .electionPolicy,
            Part(
                "mongodb", summary: "MongoDB's protocol version 1: randomised timeout, takeovers",
                options: MongoDBElectionPolicy.options
            ) { try MongoDBElectionPolicy($0) })
        register(
            .electionPolicy,
            Part(
                "zone-aware", summary: "as fast, but members of the home zone stand first",
                options: ZoneAwareElectionPolicy.options
            ) { try ZoneAwareElectionPolicy($0) })
        register(
            .electionPolicy,
            Part("fixed", summary: "only one named member stands", options: FixedElectionPolicy.options) {
                try FixedElectionPolicy($0)
            })
    }

    private mutating func registerReadSelectors() {
        register(
            .readSelector,
            Part(MongoDBReadSelector.name, summary: "as MongoDB's drivers: near ones, the less busy of two") { _ in
                MongoDBReadSelector()
            })
        register(
            .readSelector,
            Part(NearestStrict.name, summary: "always the one with the shortest round trip; also to copy from") { _ in
                NearestStrict()
            })
        register(
            .readSelector,
            Part(LeastLag.name, summary: "the one whose data are newest; also to copy from") { _ in LeastLag() })
        register(
            .readSelector, Part(RoundRobin.name, summary: "each in turn, whatever the distances") { _ in RoundRobin() })
    }

    private mutating func registerShardKeyStrategies() {
        register(
            .shardKeyStrategy,
            Part("mongodb", summary: "as the key says: 'hashed' with a hashed field, else 'ranged'") { _ in
                MongoDBShardKeys()
            })
        register(
            .shardKeyStrategy,
            Part("ranged", summary: "in the order of the key's values: neighbours stay together") { _ in
                RangedShardKeys()
            })
        register(
            .shardKeyStrategy,
            Part("hashed", summary: "MongoDB's hash of one field: keys that only grow are spread") { _ in
                HashedShardKeys()
            })
        register(
            .shardKeyStrategy,
            Part("xxhash", summary: "as hashed, by XXH3: faster, other places than in MongoDB") { _ in
                XXHashShardKeys()
            })
        register(
            .shardKeyStrategy,
            Part("zoned", summary: "as hashed behind a prefix; zones of the prefix are spread from the start") { _ in
                ZonedShardKeys()
            })
    }
}
