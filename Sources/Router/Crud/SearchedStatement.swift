import BSON
import Core
import Frontend
import Query
import Sharding
import Wire

/// Statements about one document that has to be found first.
extension RouterContext {
    /// A filter that no document matches.
    static let matchesNothing: Document = ["_id": ["$in": .array([])]]

    /// A write command with some statements, for one shard.
    /// - Parameter statements: one behind the other.
    func batchRequest(
        _ kind: WriteBatch.Kind, _ namespace: Namespace, _ statements: ByteBuffer, count: Int, options: Document?,
        statementIDs: [Int32]?, _ versions: RoutedRequest
    ) throws(ServerError) -> RemoteRequest {
        let command = Document { writer in
            writer.append(kind.rawValue, .string(namespace.collection))
            if let options {
                options.withView { for field in $0 { writer.append(field.key, field.value) } }
            } else {
                for field in body.dropFirst() {
                    if field.key == KeyView(kind.field) { continue }
                    switch field.key {
                    case "stmtId", "stmtIds", "$clusterTime", "$db": continue
                    default: writer.append(field.key, field.value)
                    }
                }
            }
            if let statementIDs { writer.array("stmtIds") { for id in statementIDs { $0.append(int32: id) } } }
            writer.append("$db", string: namespace.database)
        }
        return try forwarded(
            versions, access: .write, body: command, keepsSequences: false,
            sequence: (kind.field, statements, count))
    }

    /// A document that was found for a statement that is about one.
    struct Found {
        let target: ShardTarget
        /// Its `_id` and the fields of its shard key.
        let document: Document

        /// The filter, for this document alone.
        func narrowing(_ filter: DocumentView) -> Document {
            Document { writer in
                writer.array("$and") { array in
                    array.append(document)
                    array.append(filter)
                }
            }
        }
    }

    /// Looks for a document that matches, the first of a sort if there is one.
    func findOne(
        _ filter: DocumentView, sort: DocumentView?, in collection: RoutedCollection, _ targets: [ShardTarget]
    ) async throws(ServerError) -> Found? {
        let sorts = sort.map { !$0.isEmpty } ?? false
        let command = Document { writer in
            writer.append("find", string: collection.namespace.collection)
            writer.append("filter", filter)
            if sorts, let sort {
                writer.append("sort", sort)
                writer.append("sortKeys", bool: true)
            }
            writer.append("limit", int32: 1)
            writer.append("singleBatch", bool: true)
            if let variables { writer.append("let", variables) }
            appendCommon(to: writer)
            writer.append("$db", string: collection.namespace.database)
        }
        let results = try await atOnce(targets) { [self] target throws(ServerError) in
            let set = try await catalog.shard(target.shard)
            var request = try forwarded(versions(target), access: .read, body: command, keepsSequences: false)
            request.preference = .primary
            let reply = try await send(request, to: set).checked()
            note(reply)
            return (target, try ShardStream(reply, of: set, collection.namespace, hasKeys: sorts))
        }
        var best: (ShardTarget, ShardStream)?
        for result in results where !result.1.isEmpty {
            guard let other = best else {
                best = result
                continue
            }
            if sorts, result.1.precedes(other.1) { best = result }
        }
        guard let (target, stream) = best else { return nil }
        let document = try stream.withFirst { document throws(ServerError) in
            collection.identity(of: document)
        }
        return document.map { Found(target: target, document: $0) }
    }
}

extension RoutedCollection {
    /// A filter that matches one document: its `_id` and the fields of its shard key.
    func identity(of document: DocumentView) -> Document {
        return Document { writer in
            if let id = document["_id"] { writer.document("_id") { $0.append("$eq", id) } }
            for field in space.pattern.fields where field.path != "_id" {
                let value = ShardKeyPath.value(field.path, in: document)
                writer.document(field.path) { inner in
                    if let value { inner.append("$eq", value) } else { inner.appendNull("$eq") }
                }
            }
        }
    }
}

/// The value at a path without arrays.
enum ShardKeyPath {
    static func value(_ path: String, in document: DocumentView) -> ValueView? {
        var value: ValueView?
        var current: DocumentView? = document
        for name in path.split(separator: ".", omittingEmptySubsequences: false) {
            value = current?[String(name)]
            current = value?.asDocument
        }
        return value
    }
}
