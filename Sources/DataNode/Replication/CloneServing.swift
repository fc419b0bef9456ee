internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// The source's side of an initial sync: its position, its collections, its documents and session records in batches.
/// Every batch stands alone: the asker says behind which key it goes on, so nothing is kept between two of them.
enum CloneServing {
    static func add(to table: inout CommandSet) {
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
                let collections = context.node.data.catalog.collections.filter { !$0.namespace.isLocal }
                ListCollectionsReply(collections: collections.map(describe)).encode(to: context.writer)
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
                let request = try CloneSessionsRequest(decoding: context.body)
                let limit = context.runtime.buggified("small clone batch", Limits.cloneBatchDocuments, 3)
                try CloneSessionsReply.encode(to: context.writer) { array in
                    try context.node.data.readSessions(
                        after: request.after, limit: limit, bytesMax: Limits.cloneBatchBytes
                    ) { CloneSessionsReply.append(key: $0, record: $1, to: &array) }
                }
                return .done
            })
    }

    private static func position(_ context: CommandContext) throws -> CommandOutcome {
        guard let role = context.node.replication else { throw OplogServing.notAMember() }
        guard role.member.state.isReadable else {
            throw ServerError(.notPrimaryOrSecondary, "not readable: in state \(role.member.state.name)")
        }
        let target = try SourcePositionRequest(decoding: context.body).awaitedCommitPoint ?? .null
        if role.member.commitPoint >= target {
            role.position.encode(to: context.writer)
            return .done
        }
        return .later {
            let deadline = context.runtime.now + role.oplogAwaitTime
            while role.member.commitPoint < target, context.runtime.now < deadline, !context.connection.isAbandoned {
                await role.oplogChanged.wait(until: deadline, on: context.connection)
            }
            role.position.encode(to: context.writer)
        }
    }

    private static func describe(_ collection: Collection) -> CollectionDescription {
        CollectionDescription(
            namespace: collection.namespace.fullName, uuid: collection.uuid, documentCount: Int64(collection.count),
            byteCount: Int64(collection.dataBytes), options: Document { collection.options.write(to: $0) },
            indexes: collection.indexes.map { index in
                // A build that is under way here goes on there.
                guard index.state == .building, let build = index.buildID else { return index.definition }
                return Document { writer in
                    index.definition.withView { for field in $0 { writer.append(field.key, field.value) } }
                    writer.append("buildUUID", build)
                }
            })
    }

    private static func documents(_ context: CommandContext) throws -> CommandOutcome {
        let data = context.node.data
        switch try CloneDocumentsRequest(decoding: context.body) {
        case .one(let name, let id):
            let collection = data.catalog.find(try Namespace(validating: name))
            let key: Document = ["_id": id]
            let document = try collection.flatMap { collection in
                try key.withView { try $0["_id"].flatMap { try data.findOneByID(collection, $0) } }
            }
            CloneDocumentsReply.encode(to: context.writer) { array in
                if let document { array.append(document) }
                return nil
            }
        case .batch(let uuid, let after):
            guard let collection = data.catalog.find(uuid) else {
                CloneDocumentsReply.encodeGone(to: context.writer)
                break
            }
            let limit = context.runtime.buggified("small clone batch", Limits.cloneBatchDocuments, 3)
            try CloneDocumentsReply.encode(to: context.writer) { array in
                try data.readRecords(
                    of: collection, after: UInt64(after), limit: limit, bytesMax: Limits.cloneBatchBytes
                ) { array.append($0) }.map { Int64(clamping: $0) }
            }
        }
        return .done
    }
}

extension ReplicaSetRole {
    /// Who goes on with a clone has to know that it is still the same member that it asks.
    fileprivate var position: SourcePositionReply {
        SourcePositionReply(incarnation: member.incarnation, metadata: metadata)
    }
}
