internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication
internal import Sharding

/// What a donor gives to its recipient: documents, what has changed of them, what sessions have done. All of it at or
/// below the commit point.
extension ShardService {
    private func point(_ body: Document) throws(ServerError) -> OpTime {
        guard let role = node.replication else { throw ShardCommands.notAShard() }
        if body["uncommitted"]?.asBool == true { return node.lastOpTime }
        let point = role.member.majorityReadPoint
        guard !point.isNull else {
            throw ServerError(.readConcernMajorityNotAvailableYet, "the donor has no commit point yet")
        }
        return point
    }

    private func sharded(_ task: MigrationTask) throws -> (OwnedCollection, Collection) {
        guard let owned = try ownerships.collection(task.uuid), let collection = node.data.catalog.find(task.uuid)
        else { throw ServerError(.namespaceNotFound, "\(task.name.fullName) is not here any more") }
        guard owned.table.version.epoch == task.epoch else {
            throw ServerError(.operationFailed, "\(task.name.fullName) was sharded anew meanwhile")
        }
        return (owned, collection)
    }

    /// `{documents, resume?, point}`.
    func cloneRange(_ body: Document) async throws -> Document {
        let task = try MigrationTask(body, id: "_shardsvrCloneRange")
        let (owned, collection) = try await node.data.whenResident { try sharded(task) }
        let point = try point(body)
        let snapshot = try node.data.versions.openSnapshot(at: point.timestamp)
        defer { node.data.versions.closeSnapshot(snapshot) }
        let space = owned.space
        let index = space.supportingIndex.flatMap { collection.index(beginningWith: $0) }
        let resume = body["resume"]?.asDocument ?? Document()
        // A place in the index holds for this primary only; the last position holds for all.
        let isSame = resume["term"]?.asInteger == node.role.term
        var from = task.range.lower
        if !isSame, index != nil, case .binary(_, let position)? = resume["position"] { from = position }
        let walk = RangeWalk(
            node.data, collection, index: index, KeyRange(lower: from, upper: task.range.upper),
            at: .at(point.timestamp)
        ) { (try? space.position(of: $0)) ?? nil }
        if isSame, case .binary(_, let key)? = resume["key"] { walk.resume(behind: key) }
        var documents: [Document] = []
        var bytes = 0
        var last: [UInt8] = from
        let progress = try await node.inSlices { end -> WriteProgress? in
            let progress = try walk.run(until: end) { document, position in
                documents.append(document.document)
                bytes += document.byteCount
                last = position
                return bytes < Limits.cloneBatchBytes && documents.count < Limits.cloneBatchDocuments
            }
            if progress == .done { return .done }
            return bytes < Limits.cloneBatchBytes && documents.count < Limits.cloneBatchDocuments ? nil : .yield
        }
        let term = node.role.term
        return Document { writer in
            writer.array("documents") { array in for document in documents { array.append(document) } }
            writer.append("point", point)
            guard progress == .yield else { return }
            writer.document("resume") { resume in
                resume.append("term", int64: term)
                resume.append("position", .binary(subtype: 0, last))
                resume.append("key", .binary(subtype: 0, walk.place))
            }
        }
    }

    /// `{documents, gone, through, isNear, changesDefinition?}`: the present state of what entries behind one have
    /// touched.
    func tailRange(_ body: Document) async throws -> Document {
        let task = try MigrationTask(body, id: "_shardsvrTailRange")
        guard let after = OpTime(reading: body["after"]) else {
            throw ServerError(.badValue, "from where on the range is to be followed was not said")
        }
        let wait = min(max(body["awaitMillis"]?.asInteger ?? 0, 0), 1000)
        let deadline = node.runtime.now + .milliseconds(wait)
        while try point(body) <= after, node.runtime.now < deadline, !node.isStopped, node.takesWrites {
            await node.replication?.oplogChanged.wait(until: deadline)
        }
        let (owned, collection) = try await node.data.whenResident { try sharded(task) }
        let point = try point(body)
        guard point > after else {
            return Document { writer in
                writer.append("through", after)
                writer.append("isNear", bool: true)
            }
        }
        let touched = try await node.data.whenResident {
            try node.data.touched(task.uuid, after: after, upTo: point, limit: Limits.migrationTailEntries)
        }
        let snapshot = try node.data.versions.openSnapshot(at: point.timestamp)
        defer { node.data.versions.closeSnapshot(snapshot) }
        var documents: [Document] = []
        var gone: [Value] = []
        for id in touched.ids {
            let found: Document? = try await node.data.whenResident {
                try (["_id": id] as Document).withView { view in
                    try view.first.flatMap {
                        try node.data.findOneByID(collection, $0.value, at: .at(point.timestamp))?.document
                    }
                }
            }
            let position = found.flatMap { document in document.withView { try? owned.space.position(of: $0) } }
            if let found, let position, task.range.contains(position) {
                documents.append(found)
            } else {
                gone.append(id)
            }
        }
        return Document { writer in
            writer.array("documents") { array in for document in documents { array.append(document) } }
            writer.array("gone") { array in for id in gone { array.append(id) } }
            writer.append("through", touched.through)
            writer.append("isNear", bool: touched.through >= point)
            if touched.changesDefinition { writer.append("changesDefinition", bool: true) }
        }
    }

    /// `{runs, next?}`.
    func sessionRuns(_ body: Document) async throws -> Document {
        let point = try point(body)
        var behind: [UInt8] = []
        if case .binary(_, let key)? = body["behind"] { behind = key }
        let snapshot = try node.data.versions.openSnapshot(at: point.timestamp)
        defer { node.data.versions.closeSnapshot(snapshot) }
        let wall = node.runtime.wallClock.milliseconds
        let (runs, next) = try await node.data.whenResident {
            try node.data.sessions.runs(
                behind: behind, at: .at(point.timestamp), wall: wall, limit: Limits.cloneBatchDocuments)
        }
        return Document { writer in
            writer.array("runs") { array in for run in runs { array.append(run) } }
            if let next { writer.append("next", .binary(subtype: 0, next)) }
        }
    }
}
