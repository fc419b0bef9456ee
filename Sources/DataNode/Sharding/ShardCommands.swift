internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Query
internal import Replication
internal import Sharding

/// What config servers and other shards ask a shard for. To everybody else there are no such commands.
enum ShardCommands {
    typealias Run = (ShardService, Document) async throws -> Document

    static func add(to table: inout CommandSet) {
        add("_shardsvrInspect", "what a set is, before it becomes a shard", to: &table) { shard, _ in
            try await shard.inspect()
        }
        add("_shardsvrSetIdentity", "tells a set which shard it is", to: &table) { shard, body in
            try await shard.setIdentity(try ShardIdentity(body))
        }
        add("_shardsvrLearn", "has a shard find out what it owns", to: &table) { shard, body in
            try await shard.learn(try namespace(body))
            return Document()
        }
        add("_shardsvrPrepareSharding", "makes collection and index", to: &table) { shard, body in
            try await shard.prepareSharding(try namespace(body), body)
        }
        add("_shardsvrBeginSharding", "has a shard own what is sharded now", to: &table) { shard, body in
            try await shard.beginSharding(try namespace(body), body)
        }
        add("_shardsvrDefinition", "a collection's options and indexes", to: &table) { shard, body in
            try shard.definition(of: try namespace(body))
        }
        add("_shardsvrDropCollection", "drops a sharded collection", to: &table) { shard, body in
            try await shard.drop(try namespace(body), body["uuid"])
        }
        add("_shardsvrDropDatabase", "drops a database", to: &table) { shard, body in
            try await shard.dropDatabase(body.values.first?.asString ?? "")
        }
        add("_shardsvrMoveRange", "gives a range to another shard", to: &table) { shard, body in
            try await shard.donate(body)
        }
        add("_shardsvrReceive", "takes a range from another shard", to: &table) { shard, body in
            try await shard.receive(body)
        }
        add("_shardsvrDrain", "takes the rest of a range whose writes wait", to: &table) { shard, body in
            try await shard.drain(body)
        }
        add("_shardsvrSettle", "tells how a move has ended", to: &table) { shard, body in
            try await shard.settle(body)
        }
        add("_shardsvrCloneRange", "documents of a range", to: &table) { shard, body in
            try await shard.cloneRange(body)
        }
        add("_shardsvrTailRange", "documents of a range that have changed", to: &table) { shard, body in
            try await shard.tailRange(body)
        }
        add("_shardsvrSessions", "what sessions have executed", to: &table) { shard, body in
            try await shard.sessionRuns(body)
        }
        add("_shardsvrSizes", "how much of each sharded collection is here", to: &table) { shard, _ in
            try shard.sizes()
        }
        add("_shardsvrSplitPoints", "where a range can be cut", to: &table) { shard, body in
            try await shard.splitPoints(try namespace(body), body)
        }
    }

    private static func namespace(_ body: Document) throws(ServerError) -> Namespace {
        try Namespace(validating: body.values.first?.asString ?? "")
    }

    /// Declares a command that is answered by the shard's primary.
    static func add(_ name: StaticString, _ help: String, to table: inout CommandSet, _ run: @escaping Run) {
        table.add(
            Command(name, [.clusterOnly, .adminOnly], .clusterMessage, help: "\(help), for nodes of the cluster") {
                context in
                .later {
                    guard let shard = context.node.shard else { throw notAShard() }
                    try context.node.checkTakesWrites()
                    try await ClusterCommand.answer(context) { try await run(shard, $0) }
                }
            })
    }

    static func notAShard() -> ServerError {
        ServerError(ErrorCode(rawValue: 203), "this node is no shard: it was not started with --role shard")
    }
}

/// How commands between nodes of a cluster are carried out.
enum ClusterCommand {
    /// Runs what may wait for other nodes, and writes its answer.
    static func answer(_ context: CommandContext, _ run: (Document) async throws -> Document) async throws {
        let body = context.body.document
        let reply: Document
        context.pause()
        do {
            reply = try await run(body)
            context.resume()
        } catch {
            context.resume()
            throw error
        }
        reply.withView { for field in $0 { context.writer.append(field.key, field.value) } }
    }
}

extension ShardService {
    func inspect() async throws -> Document {
        let own = node.replication?.member.config?.members ?? []
        let identity = identity
        return Document { writer in
            writer.append("setName", string: node.options.replicaSetName ?? "")
            writer.array("hosts") { array in
                for member in own where !member.isHidden { array.append(string: member.host) }
            }
            if let identity {
                writer.append("clusterId", objectID: identity.clusterID)
                writer.append("shardName", string: identity.shard.name)
            }
            writer.array("databases") { array in
                for name in node.data.catalog.databases where !["admin", "config", "local"].contains(name) {
                    array.append(string: name)
                }
            }
        }
    }

    func setIdentity(_ identity: ShardIdentity) async throws -> Document {
        if let known = self.identity {
            guard known.clusterID == identity.clusterID, known.shard == identity.shard else {
                throw ServerError(
                    .illegalOperation,
                    "this set is the shard \(known.shard) of the cluster \(known.clusterID) already")
            }
        }
        var changes = DocumentChanges()
        changes.put(ShardIdentity.namespace, identity.document)
        try await node.commit(changes)
        return Document()
    }

    /// Makes what is missing of a collection that is to be sharded, and refuses what cannot be.
    func prepareSharding(_ namespace: Namespace, _ body: Document) async throws -> Document {
        guard let key = body["key"]?.asDocument else { throw ServerError(.badValue, "a key is missing") }
        let isUnique = body["unique"]?.asBool ?? false
        let data = node.data
        if let view = try await data.whenResident({ try data.view(namespace) }) {
            throw ServerError(.commandNotSupportedOnView, "Views cannot be sharded: \(view.namespace)")
        }
        let collection = try await data.whenResident {
            if let found = data.catalog.find(namespace) { return found }
            return try (["create": .string(namespace.collection)] as Document).withView {
                try data.createCollection(namespace, $0, try node.ownWriteContext())
            }
        }
        guard collection.options.capped == nil else {
            throw ServerError(.invalidOptions, "can't shard a capped collection: \(namespace.fullName)")
        }
        let space = try node.shardKeySpace(
            body["strategy"]?.asString ?? CollectionEntry.defaultStrategy,
            body["strategyOptions"]?.asDocument ?? Document(), key, fingerprint: nil, namespace)
        try ShardKeyIndexes.checkUnique(collection, key, namespace)
        try await ensureIndex(body["index"]?.asDocument, key, isUnique: isUnique, collection)
        // A document whose key cannot be told could be found on no shard.
        let walk = RangeWalk(data, collection, index: nil, .all) { (try? space.position(of: $0)) ?? nil }
        var count = 0
        try await node.inSlices { end in
            try walk.run(until: end) { _, _ in
                count += 1
                return true
            } == .done ? () : nil
        }
        guard count >= collection.count else {
            throw ServerError(
                .invalidOptions,
                "can't shard \(namespace.fullName): a document has an array in the shard key \(key)")
        }
        try await node.awaitMajority(node.lastOpTime)
        return Document { writer in
            writer.append("uuid", collection.uuid)
            writer.append("empty", bool: collection.count == 0)
        }
    }

    private func ensureIndex(
        _ pattern: Document?, _ key: Document, isUnique: Bool, _ collection: Collection
    ) async throws {
        guard let pattern = pattern ?? (isUnique ? key : nil) else { return }
        let namespace = collection.namespace
        if let index = collection.index(beginningWith: pattern), !index.spec.isMultikey,
            !isUnique || index.spec.isUnique && index.keyPattern.fields.count == pattern.fields.count
                || index.keyPattern.keys == ["_id"]
        {
            return
        }
        guard collection.count == 0 else {
            throw ServerError(
                .invalidOptions,
                "Please create an index that starts with the proposed shard key before sharding the collection "
                    + "\(namespace.fullName)"
                    + (isUnique ? ": a unique one of exactly \(key)" : ": \(pattern)"))
        }
        let name = pattern.fields.map { field in
            "\(field.key)_\(field.value.asString ?? "\(field.value.asInteger ?? 1)")"
        }.joined(separator: "_")
        let specification = Document { writer in
            writer.append("key", pattern)
            writer.append("name", string: name)
            if isUnique { writer.append("unique", bool: true) }
        }
        try await node.data.whenResident {
            _ = try specification.withView {
                try node.data.createIndexes(namespace, [$0], try node.ownWriteContext())
            }
        }
    }

    /// Owns what it is told of a collection, unless somebody has written to one that is to be empty.
    func beginSharding(_ namespace: Namespace, _ body: Document) async throws -> Document {
        guard let document = body["collection"]?.asDocument, let placement = body["placement"]?.asDocument else {
            throw ServerError(.badValue, "collection and placement are missing")
        }
        let entry = try CollectionEntry(reading: document)
        let table = try OwnershipTable(entry, placement)
        var isRefused = false
        try await node.data.whenResident {
            guard let collection = node.data.catalog.find(entry.uuid) else {
                throw ServerError(.namespaceNotFound, "\(namespace.fullName) was dropped meanwhile")
            }
            isRefused = body["mustBeEmpty"]?.asBool == true && collection.count > 0
            guard !isRefused else { return }
            var changes = DocumentChanges()
            if let known = try ownerships.collection(namespace) {
                if known.table.version.epoch == entry.epoch { return }
                changes.append(forgetting(known))
            }
            changes.append(try keeping(ShardedCollection(entry, isConfirmed: false), table, instead: nil))
            try node.data.make(changes, try node.ownWriteContext())
        }
        if isRefused { return ["notEmpty": true] }
        try await node.awaitMajority(node.lastOpTime)
        return Document()
    }

    func definition(of namespace: Namespace) throws -> Document {
        guard let collection = node.data.catalog.find(namespace) else {
            throw ServerError(.namespaceNotFound, "there is no collection \(namespace.fullName) here")
        }
        return Document { writer in
            writer.append("uuid", collection.uuid)
            writer.document("options") { collection.options.write(to: $0) }
            writer.array("indexes") { array in
                for index in collection.readyIndexes { array.append(index.definition) }
            }
        }
    }

    func drop(_ namespace: Namespace, _ uuid: Value?) async throws -> Document {
        let wanted = (["u": uuid ?? .null] as Document).withView { CollectionUUID($0["u"]) }
        try await node.data.whenResident {
            guard let wanted else { return }
            if let collection = node.data.catalog.find(wanted) {
                try node.data.dropCollection(collection.namespace, try node.ownWriteContext())
            }
            if let owned = try ownerships.collection(wanted) {
                try node.data.make(forgetting(owned), try node.ownWriteContext())
            }
        }
        try await node.awaitMajority(node.lastOpTime)
        return Document()
    }

    func dropDatabase(_ name: String) async throws -> Document {
        try Namespace.checkDatabase(name)
        try await node.data.whenResident {
            try node.data.dropDatabase(name, try node.ownWriteContext())
            var changes = DocumentChanges()
            for owned in try ownerships.all where owned.namespace.database == name {
                changes.append(forgetting(owned))
            }
            if try ownerships.database(name) != nil { changes.delete(OwnedDatabase.namespace, .string(name)) }
            try node.data.make(changes, try node.ownWriteContext())
        }
        try await node.awaitMajority(node.lastOpTime)
        return Document()
    }

    /// Where a range can be cut: `{range, parts}` in equal parts, or `{range, bytes}` in parts of that size. Answers
    /// `{points: [bound], bytes, isJumbo}`.
    func splitPoints(_ namespace: Namespace, _ body: Document) async throws -> Document {
        guard let range = body["range"]?.asDocument else { throw ServerError(.badValue, "a range is missing") }
        let wanted = try KeyRange(reading: range)
        guard let owned = try await node.data.whenResident({ try ownerships.collection(namespace) }),
            let collection = node.data.catalog.find(owned.collection.uuid)
        else { throw ServerError(.namespaceNotSharded, "\(namespace.fullName) is not sharded here") }
        var found = try await documents(of: collection, owned, wanted)
        found.sort { $0.key.lexicographicallyPrecedes($1.key) }
        let total = found.reduce(Int64(0)) { $0 + $1.bytes }
        let chunkSize: Int64
        if let bytes = body["bytes"]?.asInteger {
            chunkSize = max(bytes, 2)
        } else {
            let parts = max(body["parts"]?.asInteger ?? 2, 2)
            chunkSize = max(total / parts, 1) * 2
        }
        var points: [[UInt8]] = []
        var isJumbo = false
        switch SplitRules.verdict(wanted, found.map { (key: $0.key, bytes: $0.bytes) }, chunkSize: chunkSize) {
        case .leave: break
        case .split(let list): points = list
        case .jumbo: isJumbo = true
        }
        let shown = Dictionary(found.map { ($0.key, $0.bound) }, uniquingKeysWith: { a, _ in a })
        return Document { writer in
            writer.array("points") { array in
                for point in points { if let bound = shown[point] { array.append(bound) } }
            }
            writer.append("bytes", int64: total)
            writer.append("count", int64: Int64(found.count))
            writer.append("isJumbo", bool: isJumbo)
        }
    }

    private func documents(
        of collection: Collection, _ owned: OwnedCollection, _ range: KeyRange
    ) async throws -> [(key: [UInt8], bytes: Int64, bound: Document)] {
        let space = owned.space
        let walk = RangeWalk(
            node.data, collection, index: space.supportingIndex.flatMap { collection.index(beginningWith: $0) }, range
        ) { (try? space.position(of: $0)) ?? nil }
        var found: [(key: [UInt8], bytes: Int64, bound: Document)] = []
        try await node.inSlices { end in
            try walk.run(until: end) { document, key in
                let bound = try space.bound(at: document)
                found.append((key, Int64(document.byteCount), bound.document))
                return node.runtime.now < end
            } == .done ? () : nil
        }
        return found
    }
}
