public import BSON
public import Core

extension UpdateProgram {
    /// The document that an upsert starts from: what the filter says every match is equal to.
    ///
    /// A replacement takes only the `_id`. Throws 54 for a path that is set twice, 40 for paths that meet.
    public static func upsertBase(
        from equalities: [(path: String, value: Value)], kind: Kind = .modifiers
    ) throws(ServerError) -> Document {
        let root = UpdateNode(.fields)
        var seen: Set<String> = []
        for equality in equalities {
            if kind == .replacement, equality.path != "_id" { continue }
            guard seen.insert(equality.path).inserted else {
                throw ServerError(
                    .notSingleValueField,
                    "cannot infer query fields to set, path '\(equality.path)' is matched twice")
            }
            let modifier = equality.value.withView { SetModifier(path: equality.path, $0) }
            do throws(ServerError) {
                try root.insert(modifier, at: try UpdatePath(equality.path))
            } catch {
                guard error.code == .conflictingUpdateOperators else { throw error }
                throw ServerError(
                    .notSingleValueField,
                    "cannot infer query fields to set, both paths '\(equality.path)' and another are matched")
            }
        }
        let buffer = ByteBuffer()
        let writer = DocumentWriter(startingIn: buffer)
        let application = UpdateApplication(
            document: DocumentView(base: UnsafeRawPointer(buffer.base)), position: nil, arrayFilters: [:],
            verdicts: nil)
        try application.writeFields(root, of: nil, to: writer)
        writer.finish()
        return Document(trusted: buffer.toArray())
    }

    /// Makes the document that an upsert inserts and appends it to `output`: the filter's equalities, the update with
    /// `$setOnInsert`, and an `_id` in front, made by `newID` when neither gave one. Returns that `_id`.
    public func upsert(
        from equalities: [(path: String, value: Value)], newID: () -> ObjectID, into output: ByteBuffer
    ) throws(ServerError) -> Value {
        let base = try UpdateProgram.upsertBase(from: equalities, kind: kind)
        let made = ByteBuffer()
        _ = try base.withChecked { (view) throws(ServerError) in try apply(to: view, isInsert: true, into: made) }
        let document = DocumentView(base: UnsafeRawPointer(made.base))
        let id = document["_id"].map { Value($0) } ?? .objectID(newID())
        let writer = DocumentWriter(startingIn: output)
        writer.append("_id" as String, id)
        for element in document where !(element.key == "_id") { writer.append(element.key, element.value) }
        writer.finish()
        return id
    }
}
