import BSON
import Core
import Sharding
import ShardKeyStrategies
import Testing

/// What config servers keep and nodes of a cluster say to each other is read as it was written.
@Suite struct CatalogDocumentTests {
    private let epoch = Epoch(Timestamp(seconds: 10, increment: 1))
    private let uuid = CollectionUUID(high: 0x1111_2222_3333_4444, low: 0x8555_6666_7777_8888)
    private let a = ShardID("shardA")
    private let b = ShardID("shardB")

    private func expectSame<Entry: CatalogDocument>(_ entry: Entry) throws {
        #expect(try Entry(reading: entry.document) == entry)
        // Every field that a document must have is missed by name.
        for field in entry.document.keys {
            let rest = Document { writer in
                for (key, value) in entry.document.fields where key != field { writer.append(key, value) }
            }
            do { _ = try Entry(reading: rest) } catch {
                #expect(error.code == .failedToParse && error.message.contains("config.\(Entry.collection)"))
            }
        }
        #expect(throws: ServerError.self) { try Entry(reading: ["_id": .null]) }
    }

    @Test("documents of the config servers are read as they were written")
    func roundTrips() throws {
        try expectSame(ClusterEntry(ObjectID(high: 7, low: 9)))
        let hosts = SetConnection(setName: "rsA", hosts: ["h1:1", "h2:2"])
        try expectSame(ShardEntry(a, hosts: hosts, topologyTime: epoch.timestamp))
        try expectSame(
            ShardEntry(a, hosts: hosts, topologyTime: epoch.timestamp, zones: ["EU", "US"], isDraining: true))
        try expectSame(DatabaseEntry("shop", primary: a, uuid: uuid, version: DatabaseVersion(epoch, lastMod: 3)))
        var collection = CollectionEntry(
            Namespace("shop", "orders"), uuid: uuid, key: ["x": 1, "y": "hashed"], isUnique: false,
            lastmodEpoch: ObjectID(high: 1, low: 2), epoch: epoch, lastmod: 1234, majors: [a: 4, b: 0])
        try expectSame(collection)
        #expect(collection.version(of: a) == PlacementVersion(epoch, major: 4, minor: 0))
        #expect(collection.version(of: ShardID("other")) == .none(epoch))
        collection.isNotBalanced = true
        collection.maxChunkSizeBytes = 1 << 20
        collection.allowsMigrations = false
        collection.defaultCollation = ["locale": "simple"]
        try expectSame(collection)
        try expectSame(
            ZoneEntry(Namespace("shop", "orders"), min: ["x": 1], max: ["x": .maxKey], zone: "EU"))
    }

    @Test("a chunk keeps its bounds as clients see them, and as they are compared")
    func chunks() throws {
        let space = try ShardKeySpace(MongoDBShardKeys(), pattern: ["x": 1])
        let chunk = Chunk(
            try space.range(["x": 5], space.highest), on: b, PlacementVersion(epoch, major: 3, minor: 2),
            isJumbo: true,
            history: [
                Ownership(validAfter: Timestamp(seconds: 20, increment: 1), shard: b),
                Ownership(validAfter: epoch.timestamp, shard: a),
            ])
        let entry = ChunkEntry(
            chunk, id: ObjectID(high: 3, low: 4), uuid: uuid, min: ["x": 5], max: space.highest)
        try expectSame(entry)
        #expect(try entry.chunk(in: space, epoch) == chunk)
    }

    @Test("a set is named by its name and its members")
    func connections() {
        #expect(SetConnection("rs/h:1,g:2") == SetConnection(setName: "rs", hosts: ["h:1", "g:2"]))
        #expect(SetConnection("rs/h:1,g:2")?.description == "rs/h:1,g:2")
        for bad in ["", "rs", "/h:1", "rs/", "rs/,"] { #expect(SetConnection(bad) == nil) }
    }

    @Test("what routers say with a request is read as it was written")
    func routed() throws {
        let request = RoutedRequest(
            placement: PlacementVersion(epoch, major: 2, minor: 0), database: DatabaseVersion(epoch, lastMod: 1),
            configTime: epoch.timestamp, topologyTime: Timestamp(seconds: 3, increment: 4))
        #expect(try Document { request.append(to: $0) }.withView { try RoutedRequest($0) } == request)
        #expect(try Document().withView { try RoutedRequest($0) } == RoutedRequest())
        let bad: [Document] = [
            ["shardVersion": 1], ["databaseVersion": "x"], ["$configTime": 1], ["$topologyTime": .null],
            ["shardVersion": [:]],
        ]
        for document in bad { #expect(throws: ServerError.self) { try document.withView { try RoutedRequest($0) } } }
    }

    @Test("an introduction names cluster, kind and name, and another cluster's is refused")
    func introductions() throws {
        let id = ObjectID(high: 1, low: 2)
        for clusterID in [nil, id] {
            let said = ClusterIntroduction(clusterID: clusterID, kind: .router, name: "h:1")
            #expect(try Document { said.append(to: $0) }.withView { try ClusterIntroduction.decode($0) } == said)
            try said.check(own: nil)
            try said.check(own: id)
        }
        #expect(throws: ServerError.self) {
            try ClusterIntroduction(clusterID: id, kind: .shard, name: "s").check(own: ObjectID(high: 1, low: 3))
        }
        #expect(try Document().withView { try ClusterIntroduction.decode($0) } == nil)
        let bad: [Document] = [
            ["internalCluster": 1], ["internalCluster": ["kind": "king", "name": "x", "clusterId": .null]],
            ["internalCluster": ["kind": "router", "name": "x", "clusterId": 1]],
        ]
        for hello in bad {
            #expect(throws: ServerError.self) { try hello.withView { try ClusterIntroduction.decode($0) } }
        }
    }

    @Test("a refusal carries both versions, or says that one is not known")
    func refusals() throws {
        for wanted in [nil, PlacementVersion(epoch, major: 3, minor: 0), .unsharded] {
            let info = StaleConfigInfo(
                Namespace("shop", "orders"), received: .none(epoch), wanted: wanted, shard: a)
            #expect(try info.document.withView { try StaleConfigInfo($0) } == info)
            #expect(info.error.code == .staleConfig && info.error.details == info.document)
        }
        for wanted in [nil, DatabaseVersion(epoch, lastMod: 3)] {
            let info = StaleDatabaseInfo("shop", received: DatabaseVersion(epoch, lastMod: 2), wanted: wanted)
            #expect(try info.document.withView { try StaleDatabaseInfo($0) } == info)
            #expect(info.error.code == .staleDbVersion)
        }
        #expect(throws: ServerError.self) { try Document().withView { try StaleConfigInfo($0) } }
        #expect(throws: ServerError.self) { try Document().withView { try StaleDatabaseInfo($0) } }
    }

    @Test("a request for a database is read as it was written")
    func databases() throws {
        for primary in [nil, a] {
            let request = CreateDatabaseRequest("shop", primary: primary)
            #expect(try Document { request.encode(to: $0) }.withView { try CreateDatabaseRequest($0) } == request)
        }
        let reply = CreateDatabaseReply(primary: a, version: DatabaseVersion(epoch, lastMod: 1))
        #expect(try Document { reply.encode(to: $0) }.withView { try CreateDatabaseReply($0) } == reply)
        #expect(throws: ServerError.self) { try Document().withView { try CreateDatabaseRequest($0) } }
        #expect(throws: ServerError.self) { try (["db": "a.b"] as Document).withView { try CreateDatabaseRequest($0) } }
    }
}
