internal import BSON
internal import Core
internal import Data
internal import Replication

/// The source's side of an initial sync: its position, its collections, its documents and session records in batches.
/// Every batch stands alone: the asker says behind which key it goes on, so nothing is kept between two of them.
enum CloneServing {
    static func add(to table: inout CommandTable) {
        table.add(
            Command(
                "replSetGetPosition", [.memberOnly, .followerOnly, .adminOnly], .memberMessage,
                help: "how far this member is, for members",
                run: position))
        table.add(
            Command(
                "replSetListCollections", [.memberOnly, .followerOnly, .adminOnly], .memberMessage,
                help: "all collections, for members"
            ) {
                context in
                context.writer.array("collections") { array in
                    for collection in context.node.data.catalog.collections where !collection.namespace.isLocal {
                        array.document { describe(collection, to: $0) }
                    }
                }
                return .done
            })
        table.add(
            Command(
                "replSetCloneDocuments", [.memberOnly, .followerOnly, .adminOnly], .memberMessage,
                help: "documents of a collection, for members",
                run: documents))
        table.add(
            Command(
                "replSetCloneSessions", [.memberOnly, .followerOnly, .adminOnly], .memberMessage,
                help: "session records, for members"
            ) {
                context in
                guard case .binary(_, let after)? = context.body["after"].map({ Value($0) }) else {
                    throw ServerError(.failedToParse, "replSetCloneSessions needs 'after'")
                }
                var last: [UInt8]?
                try context.writer.array("records") { (array: inout ArrayWriter) throws in
                    last = try context.node.data.readSessions(
                        after: after,
                        limit: context.runtime.buggified("small clone batch", Limits.cloneBatchDocuments, 3),
                        bytesMax: Limits.cloneBatchBytes
                    ) { key, record in
                        array.document {
                            $0.append("key", binary: key)
                            $0.append("record", record)
                        }
                    }
                }
                if let last { last.withUnsafeBytes { context.writer.append("next", binary: $0) } }
                return .done
            })
    }

    private static func position(_ context: CommandContext) throws -> CommandOutcome {
        guard let role = context.node.role as? ReplicaSetRole else { throw OplogServing.notAMember() }
        guard role.member.state.isReadable else {
            throw ServerError(.notPrimaryOrSecondary, "not readable: in state \(role.member.state.name)")
        }
        let target = context.body["awaitCommitted"]?.asDocument.flatMap { OpTime($0) } ?? .null
        if role.member.commitPoint >= target {
            appendPosition(role, to: context.writer)
            return .done
        }
        return .later { context in
            let deadline = context.runtime.now + role.oplogAwaitTime
            while role.member.commitPoint < target, context.runtime.now < deadline, !context.connection.isAbandoned {
                await role.oplogChanged.wait(until: deadline, on: context.connection)
            }
            appendPosition(role, to: context.writer)
        }
    }

    /// Who goes on with a clone has to know that it is still the same member that it asks.
    private static func appendPosition(_ role: ReplicaSetRole, to writer: DocumentWriter) {
        writer.document("incarnation") { role.member.incarnation.encode(to: $0) }
        OplogServing.appendMetadata(role, to: writer)
    }

    private static func describe(_ collection: Collection, to writer: DocumentWriter) {
        writer.append("ns", string: collection.namespace.fullName)
        collection.uuid.withBytes { writer.append("uuid", binary: $0, subtype: 4) }
        writer.append("documents", int64: Int64(collection.count))
        writer.append("bytes", int64: Int64(collection.dataBytes))
        writer.document("options") { collection.options.write(to: $0) }
        writer.array("indexes") { array in
            for index in collection.indexes {
                array.document { document in
                    index.definition.withView { for field in $0 { document.append(field.key, field.value) } }
                    // A build that is under way here goes on there.
                    if index.state == .building, let build = index.buildID {
                        build.withBytes { document.append("buildUUID", binary: $0, subtype: 4) }
                    }
                }
            }
        }
    }

    private static func documents(_ context: CommandContext) throws -> CommandOutcome {
        let data = context.node.data
        if let name = context.body["ns"]?.asString, let id = context.body["id"] {
            let collection = data.catalog.find(try Namespace(validating: name))
            let document = try collection.flatMap { try data.findOneByID($0, id) }
            context.writer.array("documents") { if let document { $0.append(document) } }
            return .done
        }
        guard let uuid = CollectionUUID(context.body["uuid"]), let after = context.body["after"]?.asInteger, after >= 0
        else { throw ServerError(.failedToParse, "replSetCloneDocuments needs 'uuid' and 'after', or 'ns' and 'id'") }
        guard let collection = data.catalog.find(uuid) else {
            context.writer.append("gone", bool: true)
            return .done
        }
        var last: UInt64?
        try context.writer.array("documents") { (array: inout ArrayWriter) throws in
            last = try data.readRecords(
                of: collection, after: UInt64(after),
                limit: context.runtime.buggified("small clone batch", Limits.cloneBatchDocuments, 3),
                bytesMax: Limits.cloneBatchBytes
            ) { array.append($0) }
        }
        if let last { context.writer.append("next", int64: Int64(last)) }
        return .done
    }
}
