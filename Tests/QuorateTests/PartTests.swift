import Quorate
import Synchronization
import Testing

/// Parts: found in the one registry, or brought along by the user of the builder.
@Suite(.timeLimit(.minutes(1))) struct PartTests {
    private func failure(_ set: ReplicaSet) async -> String? {
        do {
            let running = try await set.start()
            await running.stop()
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("every part of the registry has a name that is its own within its kind, and its kind's default is there")
    func standardParts() {
        #expect(
            PartRegistry.standard.sections.map(\.flag)
                == ["storage", "transport", "election-policy", "read-selector", "shard-key-strategy"])
        for section in PartRegistry.standard.sections {
            let names = section.entries.map(\.name)
            #expect(Set(names).count == names.count)
            #expect(names.contains(section.defaultPart))
            #expect(section.entries.allSatisfy { !$0.summary.isEmpty })
        }
    }

    @Test("a part that is registered under the name of another one takes its place")
    func replaces() throws {
        var registry = PartRegistry.standard
        registry.register(.electionPolicy, Part("fast", summary: "mine") { _ in throw PartOptionError("never") })
        let entries = registry.sections.first { $0.flag == "election-policy" }?.entries ?? []
        #expect(entries.map(\.name) == ["fast", "mongodb", "zone-aware", "fixed"])
        #expect(entries.first?.summary == "mine")
        #expect(throws: PartOptionError.self) { try registry.part(.electionPolicy, "fast").make() }
        #expect(throws: PartOptionError.self) { try registry.part(.storage, "fast") }
    }

    @Test("a part is made with the options that it has, and with no others")
    func options() throws {
        let policy = try PartRegistry.standard.part(.electionPolicy, "zone-aware")
        #expect(try policy.make(PartOptions(["home": "ny"])).name == "zone-aware")
        #expect {
            _ = try policy.make(PartOptions(["hme": "ny"]))
        } throws: { error in
            "\(error)" == "the part 'zone-aware' has no option 'hme'"
        }
    }

    @Test("a set with a part that is not registered, or an option that a part has not, does not start")
    func unknownParts() async {
        #expect(
            await failure(ReplicaSet("bad", members: 1).storage(.named("flie")))
                == "no storage 'flie' is registered; there is memory, memory-paged, file")
        #expect(
            await failure(ReplicaSet("bad", members: 1).elections(.named("fixed", ["membre": "x"])))
                == "the part 'fixed' has no option 'membre'")
        #expect(
            await failure(ReplicaSet("bad", members: 1).readSelector(.named("next")))?
                .contains("mongodb, nearest-strict, least-lag, round-robin") == true)
    }

    @Test("storage without files refuses a directory, and storage that needs one refuses to go without")
    func directories() async throws {
        #expect(
            await failure(ReplicaSet("bad", members: 1).storage(.memory, directory: "/data"))?
                .contains("keeps no files") == true)
        let memory = try PartRegistry.standard.part(.storage, "memory").make()
        let needy = StorageChoice.custom("needy", directory: .required, memory)
        #expect(
            await failure(ReplicaSet("bad", members: 1).storage(needy))?.contains("needs a directory") == true)
    }

    /// What an engine was made from.
    private struct Making: Sendable, Equatable {
        var member: String
        var directory: String?
        var options: [String: String]
    }

    @Test("a storage engine is made from its member's name, a directory of its own and its options, for each start")
    func storageContext() async throws {
        let makings = Mutex<[Making]>([])
        let memory = try PartRegistry.standard.part(.storage, "memory").make()
        var registry = PartRegistry.standard
        registry.register(
            .storage,
            Part(
                "noted", summary: "notes what it is made from",
                options: [PartOption("depth", default: "1", help: "how deep")], directory: .optional
            ) { context in
                makings.withLock {
                    $0.append(
                        Making(
                            member: context.memberName, directory: context.directory, options: context.options.values))
                }
                return try memory(StorageContext(runtime: context.runtime, memberName: context.memberName))
            })
        var choices = PartChoices()
        choices.storage = .named("noted", ["depth": "3"])
        choices.directory = "/data"
        try await withSet(ReplicaSet("ctx", members: 2).parts(choices, from: registry)) { set in
            try await set.members[1].restart()
        }
        #expect(
            makings.withLock { $0 }
                == [0, 1, 1].map {
                    Making(member: "ctx-\($0)", directory: "/data/ctx-\($0)", options: ["depth": "3"])
                })
    }

    /// Counts how often it is asked, for reads and for sync sources.
    private struct Counting: SyncSourceSelecting {
        static let name = "counting"
        final class Counts: Sendable {
            let reads = Mutex(0)
            let sources = Mutex(0)
        }
        let counts: Counts

        mutating func select(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
            counts.reads.withLock { $0 += 1 }
            return request.suitable.last?.address
        }
        mutating func selectSyncSource(_ request: ReadSelectionRequest, random: (UInt64) -> UInt64) -> Endpoint? {
            counts.sources.withLock { $0 += 1 }
            return nil
        }
    }

    @Test("the chosen read selector is asked by the set's client and by its members")
    func readSelector() async throws {
        let counts = Counting.Counts()
        let set = ReplicaSet("selected").readSelector(.custom("counting") { Counting(counts: counts) })
            .timing(heartbeatInterval: .milliseconds(20), electionTimeout: .seconds(60))
        try await withSet(set) { set in
            let orders = set.client["shop"]["orders"]
            _ = try await orders.insert(["_id": 1], writeConcern: .w(3))
            #expect(try await orders.find(readPreference: .secondary).count == 1)
            #expect(counts.reads.withLock { $0 } > 0)
            // Once how far away everybody is has been found out by heartbeats, whatever time they take.
            var id: Int32 = 1
            while counts.sources.withLock({ $0 == 0 }) {
                id += 1
                _ = try await orders.insert(["_id": .int32(id)], writeConcern: .w(3))
            }
        }
    }
}
