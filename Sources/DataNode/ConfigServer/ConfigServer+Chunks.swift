internal import BSON
internal import Core
internal import Data
internal import Sharding

/// Changes of chunks that move nothing: splits, merges, flags.
extension ConfigServer {
    /// Changes a placement, as one step that a majority has when this returns.
    func change(
        _ namespace: Namespace, bounds: [[UInt8]: Document] = [:], log: (String, Document)? = nil,
        _ decide: (Placement) throws -> ChunkChange
    ) async throws {
        var placement = try await placement(namespace)
        let change = try decide(placement)
        var changes = try placement.apply(
            change, bounds: bounds, wall: node.runtime.wallClock, newID: node.data.newObjectID)
        if let (what, details) = log { changes.append(logged(what, namespace, details)) }
        do { try await node.commit(changes) } catch {
            forget(namespace)
            throw error
        }
        keep(placement)
    }

    /// `split` with `middle`, or at the median of the chunk that `find` or `bounds` names.
    func split(_ namespace: Namespace, _ body: Document) async throws -> Document {
        try await gate.run {
            try await awaitReady()
            let placement = try await placement(namespace)
            let space = placement.space
            let given = ["find", "bounds", "middle"].filter { body[$0] != nil }
            guard given.count == 1 else {
                throw ServerError(
                    .badValue, "split needs exactly one of 'find', 'bounds' and 'middle'; \(given.count) were given")
            }
            let point: ShardKeyBound
            if let middle = body["middle"]?.asDocument {
                point = try space.bound(middle)
            } else {
                let index: Int
                if let bounds = body["bounds"]?.asArray {
                    guard bounds.count == 2, let min = bounds[0].asDocument, let max = bounds[1].asDocument else {
                        throw ServerError(.badValue, "'bounds' of split must be two bounds of the shard key")
                    }
                    index = try exactChunk(placement, min, max)
                } else {
                    guard let query = body["find"]?.asDocument else {
                        throw ServerError(.badValue, "'find' of split must be a document")
                    }
                    let key = try query.withView { view throws(ServerError) in try space.position(of: view) }
                    index = key.withUnsafeBytes { placement.table.chunk(of: $0) }
                }
                point = try await median(placement, index)
            }
            let index = point.key.withUnsafeBytes { placement.table.chunk(of: $0) }
            guard placement.table.range(index).lower != point.key else {
                throw ServerError(
                    .badValue, "new split key \(point.document) is a boundary key of existing chunk")
            }
            try await change(
                namespace, bounds: [point.key: point.document], log: ("split", ["middle": .document(point.document)])
            ) { try $0.table.split(index, at: [point.key]) }
            return Document()
        }
    }

    /// The place of the chunk with exactly these bounds.
    func exactChunk(_ placement: Placement, _ min: Document, _ max: Document) throws -> Int {
        let range = try placement.space.range(min, max)
        let index = range.lower.withUnsafeBytes { placement.table.chunk(of: $0) }
        guard placement.table.range(index) == range else {
            throw ServerError(
                .badValue,
                "no chunk of \(placement.entry.name.fullName) has the bounds \(min) and \(max)")
        }
        return index
    }

    private func median(_ placement: Placement, _ index: Int) async throws -> ShardKeyBound {
        let chunk = placement.table[index]
        let reply = try await link(try await shard(chunk.shard)).run(timeout: Limits.clusterLongCallTimeout) { writer in
            writer.append("_shardsvrSplitPoints", string: placement.entry.name.fullName)
            writer.append("range", chunk.range.document)
            writer.append("parts", int32: 2)
        }
        guard let point = reply["points"]?.asArray?.first?.asDocument else {
            throw ServerError(
                .cannotSplit,
                "cannot find a median in the chunk of \(placement.entry.name.fullName), possibly empty or of one key")
        }
        return try placement.space.bound(point)
    }

    /// `mergeChunks`.
    func mergeChunks(_ namespace: Namespace, _ min: Document, _ max: Document) async throws -> Document {
        try await gate.run {
            try await awaitReady()
            let oldest = oldestRead
            try await change(namespace, log: ("merge", ["min": .document(min), "max": .document(max)])) { placement in
                try placement.table.merge(try placement.space.range(min, max), oldestRead: oldest)
            }
            return Document()
        }
    }

    /// The oldest time that a read may still ask for.
    var oldestRead: Timestamp {
        let seconds = Int64(node.runtime.wallClock.seconds) - Limits.historyWindow.wholeMilliseconds / 1000
        return Timestamp(seconds: UInt32(clamping: seconds), increment: 0)
    }

    /// `clearJumboFlag`.
    func clearJumbo(_ namespace: Namespace, _ body: Document) async throws -> Document {
        try await gate.run {
            try await awaitReady()
            let placement = try await placement(namespace)
            let index: Int
            if let bounds = body["bounds"]?.asArray, bounds.count == 2, let min = bounds[0].asDocument,
                let max = bounds[1].asDocument
            {
                index = try exactChunk(placement, min, max)
            } else if let query = body["find"]?.asDocument {
                let key = try query.withView { view throws(ServerError) in try placement.space.position(of: view) }
                index = key.withUnsafeBytes { placement.table.chunk(of: $0) }
            } else {
                throw ServerError(.badValue, "clearJumboFlag needs 'find' or 'bounds'")
            }
            guard placement.table.isJumbo(index) else { return Document() }
            try await setJumbo(namespace, index, false)
            return Document()
        }
    }

    /// Sets or clears the flag of a chunk.
    func setJumbo(_ namespace: Namespace, _ index: Int, _ isJumbo: Bool) async throws {
        try await change(namespace) { placement in
            var chunk = placement.table[index]
            chunk.isJumbo = isJumbo
            chunk.version = try placement.table.version.afterSplit()
            return ChunkChange(removed: [chunk.range.lower], added: [chunk], majors: [:])
        }
    }
}

extension KeyRange {
    /// `{min: Binary, max: Binary or null}`.
    var document: Document {
        Document { writer in
            writer.append("min", .binary(subtype: 0, lower))
            writer.append("max", upper.map { .binary(subtype: 0, $0) } ?? .null)
        }
    }

    /// Reads `{min, max}`.
    /// - Throws: `FailedToParse`.
    init(reading document: Document) throws(ServerError) {
        let range = try document.withView { view -> Result<KeyRange?, ServerError> in
            guard let min = view["min"]?.asBinary, let max = view["max"] else { return .success(nil) }
            let upper = max.asBinary.map { [UInt8]($0.bytes) }
            guard upper != nil || max.type == .null else { return .success(nil) }
            return .success(KeyRange(lower: [UInt8](min.bytes), upper: upper))
        }.get()
        guard let range, !range.isEmpty else {
            throw ServerError(.failedToParse, "A range of keys needs a min and a max behind it")
        }
        self = range
    }
}
