import BSON
import Core
import Testing

@testable import Replication

@Suite struct ReplicaSetConfigTests {
    static func parse(_ document: Document) throws -> ReplicaSetConfig {
        try document.withView { try ReplicaSetConfig(userDocument: $0) }
    }
    static func members(_ members: Value...) -> Document {
        ["_id": "rs", "version": 1, "members": .array(members)]
    }

    @Test("a short configuration gets MongoDB's defaults")
    func defaults() throws {
        let config = try Self.parse(Self.members(["_id": 0, "host": "a:1"]))
        #expect(config.settings.heartbeatIntervalMillis == 2000)
        #expect(config.settings.electionTimeoutMillis == 10_000)
        #expect(config.settings.catchUpTimeoutMillis == -1)
        #expect(config.members[0].priority == 1)
        #expect(config.members[0].votes == 1)
        #expect(config.writeConcernMajorityJournalDefault)
        #expect(config.term == -1)
    }

    @Test("what replSetGetConfig shows is taken back unchanged")
    func roundTrip() throws {
        var config = MemberFixture.config(4) {
            $0.version = 7
            $0.members[1].tags = [.init("dc", "ny"), .init("use", "hot")]
            $0.members[2].priority = 0
            $0.members[2].isHidden = true
            $0.members[2].secondaryDelaySeconds = 3600
            $0.members[3].isArbiter = true
            $0.members[3].priority = 0
            $0.settings.chainingAllowed = false
            $0.settings.writeConcernModes = [.init(name: "one", tags: [(name: "dc", count: 1)])]
            $0.settings.writeConcernDefault = WriteConcern(w: .number(2), journal: true, timeoutMillis: 500)
            $0.settings.replicaSetID = ObjectID(high: 7, low: 9)
        }
        for index in config.members.indices { config.members[index].incarnation = nil }
        #expect(try Self.parse(Document { config.encode(to: $0) }) == config)
        config.members[0].isNewlyAdded = true
        config.members[0].incarnation = MemberFixture.incarnation(0)
        let stored = try config.storedDocument.withView { try ReplicaSetConfig(storedDocument: $0) }
        #expect(stored == config)
        #expect(
            Document { config.encode(to: $0) }.withView { view in
                view["members"]?.asArray?["0"]?.asDocument?["newlyAdded"]
            } == nil)
    }

    static let bad: [(String, Document)] = [
        ("_id", ["version": 1, "members": [["_id": 0, "host": "a:1"]]]),
        ("version", ["_id": "rs", "version": 0, "members": [["_id": 0, "host": "a:1"]]]),
        ("version", ["_id": "rs", "version": 4_294_967_296, "members": [["_id": 0, "host": "a:1"]]]),
        (
            "protocolVersion",
            ["_id": "rs", "version": 1, "protocolVersion": 0, "members": [["_id": 0, "host": "a:1"]]]
        ),
        ("nonsense", ["_id": "rs", "version": 1, "nonsense": 1, "members": [["_id": 0, "host": "a:1"]]]),
        ("members", ["_id": "rs", "version": 1]),
        ("members", members()),
        (
            "members",
            [
                "_id": "rs", "version": 1,
                "members": .array((0..<51).map { ["_id": .int32($0), "host": .string("h\($0):1")] }),
            ]
        ),
        ("members.0", ["_id": "rs", "version": 1, "members": [3]]),
        ("members.1._id", members(["_id": 0, "host": "a:1"], ["_id": 0, "host": "b:1"])),
        ("members.1.host", members(["_id": 0, "host": "a:1"], ["_id": 1, "host": "a:1"])),
        ("members.0.host", members(["_id": 0, "host": "a:99999"])),
        ("members.0.priority", members(["_id": 0, "host": "a:1", "priority": 1001])),
        ("members.0.votes", members(["_id": 0, "host": "a:1", "votes": 2])),
        ("members.1.priority", members(["_id": 0, "host": "a:1"], ["_id": 1, "host": "b:1", "hidden": true])),
        (
            "members.1.priority",
            members(["_id": 0, "host": "a:1"], ["_id": 1, "host": "b:1", "arbiterOnly": true, "priority": 2])
        ),
        (
            "members.1.votes",
            members(["_id": 0, "host": "a:1"], ["_id": 1, "host": "b:1", "arbiterOnly": true, "votes": 0])
        ),
        (
            "members.1.priority",
            members(["_id": 0, "host": "a:1"], ["_id": 1, "host": "b:1", "secondaryDelaySecs": 5])
        ),
        (
            "members.1.slaveDelay",
            members(
                ["_id": 0, "host": "a:1"],
                ["_id": 1, "host": "b:1", "priority": 0, "secondaryDelaySecs": 0, "slaveDelay": 5])
        ),
        ("members.1.priority", members(["_id": 0, "host": "a:1"], ["_id": 1, "host": "b:1", "votes": 0])),
        ("members.0.newlyAdded", members(["_id": 0, "host": "a:1", "newlyAdded": true])),
        ("members", members(["_id": 0, "host": "a:1", "priority": 0])),
        // What nothing stands behind.
        ("members.0.buildIndexes", members(["_id": 0, "host": "a:1", "buildIndexes": false])),
        ("members.0.horizons", members(["_id": 0, "host": "a:1", "horizons": ["out": "b:1"]])),
        ("configsvr", ["_id": "rs", "version": 1, "configsvr": true, "members": [["_id": 0, "host": "a:1"]]]),
        (
            "settings.electionTimeoutMillis",
            [
                "_id": "rs", "version": 1, "members": [["_id": 0, "host": "a:1"]],
                "settings": ["electionTimeoutMillis": 0],
            ]
        ),
        (
            "settings.getLastErrorModes.two.dc",
            [
                "_id": "rs", "version": 1, "members": [["_id": 0, "host": "a:1", "tags": ["dc": "ny"]]],
                "settings": ["getLastErrorModes": ["two": ["dc": 2]]],
            ]
        ),
    ]

    @Test("a bad configuration is refused with code 93 and the field's name", arguments: bad.indices)
    func refused(index: Int) throws {
        let (field, document) = Self.bad[index]
        let error = #expect(throws: ServerError.self) { try Self.parse(document) }
        #expect(error?.code == .invalidReplicaSetConfig)
        #expect(error?.message.contains("'\(field)'") == true, "\(error?.message ?? "")")
    }

    @Test("a delay is taken under its old name too, also beside the new one while they agree")
    func oldNameOfDelay() throws {
        let delayed: Document = ["_id": 1, "host": "b:1", "priority": 0, "slaveDelay": 5]
        var both = delayed
        both["secondaryDelaySecs"] = 5
        for member in [delayed, both] {
            let config = try Self.parse(Self.members(["_id": 0, "host": "a:1"], .document(member)))
            #expect(config.members[1].secondaryDelaySeconds == 5)
        }
    }

    @Test("at most seven members vote")
    func voters() {
        let eight = MemberFixture.config(8)
        #expect(throws: ServerError.self) { try eight.validate() }
        #expect(throws: Never.self) { try MemberFixture.config(7).validate() }
    }

    @Test(
        "majorities and the implicit default write concern",
        arguments: [
            (3, 0, 2, 2, true), (5, 0, 3, 3, true), (2, 1, 2, 2, false), (3, 1, 3, 3, false), (4, 1, 3, 3, true),
            (1, 0, 1, 1, true),
        ])
    func majorities(data: Int, arbiters: Int, voting: Int, write: Int, majority: Bool) {
        let config = MemberFixture.config(data + arbiters) {
            for index in data..<(data + arbiters) { $0.members[index].isArbiter = true }
        }
        #expect(config.votingMajority == voting)
        #expect(config.writeMajority == write)
        #expect(config.implicitDefaultIsMajority == majority)
    }

    @Test("configurations are ordered by term, then version; by version alone when a term is uninitialised")
    func order() {
        func version(_ version: Int64, _ term: Int64) -> ConfigVersion { ConfigVersion(version: version, term: term) }
        #expect(version(9, 1).isOlder(than: version(1, 2)))
        #expect(version(1, 2).isOlder(than: version(2, 2)))
        #expect(!version(2, 2).isOlder(than: version(2, 2)))
        #expect(version(1, 9).isOlder(than: version(2, -1)))
        #expect(ConfigVersion.none.isOlder(than: version(1, 0)))
    }

    @Test("a reconfiguration must keep the set's name, raise the version and move one vote at a time")
    func following() throws {
        let old = MemberFixture.config(5)
        func follow(_ change: (inout ReplicaSetConfig) -> Void) -> ErrorCode? {
            var next = old
            next.version = 2
            change(&next)
            do { _ = try next.following(old, force: false) } catch { return error.code }
            return nil
        }
        #expect(follow { _ in } == nil)
        #expect(follow { $0.version = 1 } == .newReplicaSetConfigurationIncompatible)
        #expect(follow { $0.setName = "other" } == .newReplicaSetConfigurationIncompatible)
        #expect(follow { $0.members[4].id = 9 } == .newReplicaSetConfigurationIncompatible)
        #expect(follow { $0.members.removeLast() } == nil)
        #expect(follow { $0.members.removeLast(2) } == .invalidReplicaSetConfig)
        #expect(
            follow {
                $0.members[3].votes = 0; $0.members[4].votes = 0
            } == .invalidReplicaSetConfig)
        #expect(
            follow {
                $0.members[3].priority = 5; $0.members[4].priority = 3
            } == nil)
    }

    @Test("whoever gains a vote starts newly added, an arbiter too, and also when the configuration is forced")
    func everyNewVoterIsNewlyAdded() throws {
        let old = MemberFixture.config(3) {
            $0.members[2].votes = 0; $0.members[2].priority = 0
        }
        for isForced in [false, true] {
            var next = MemberFixture.config(3)
            next.version = 2
            #expect(try next.following(old, force: isForced).members.map(\.isNewlyAdded) == [false, false, true])
            next = MemberFixture.config(4) {
                $0.members.remove(at: 2)
                $0.members[2].isArbiter = true
                $0.members[2].priority = 0
            }
            next.version = 2
            let fitted = try next.following(old, force: isForced)
            #expect(fitted.members.map(\.isNewlyAdded) == [false, false, true])
            #expect(fitted.members[2].incarnation == nil)
        }
    }

    @Test("a new voter starts newly added; a user's document does not clear what is internal")
    func newlyAdded() throws {
        var old = MemberFixture.config(3)
        old.members[2].isNewlyAdded = true
        old.members[1].incarnation = MemberFixture.incarnation(1)
        var next = MemberFixture.config(4)
        next.version = 2
        let fitted = try next.following(old, force: false)
        #expect(fitted.members.map(\.isNewlyAdded) == [false, false, true, true])
        #expect(fitted.members[1].incarnation == MemberFixture.incarnation(1))
        #expect(fitted.voterCount == 2)
    }
}
