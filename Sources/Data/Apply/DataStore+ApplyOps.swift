public import BSON
import Core
import Query

/// Operations of `applyOps`, in the form of oplog entries: each is carried out as a write of this member's own.
extension DataStore {
    /// What an operation has begun and takes many slices.
    public enum UnfinishedOperation {
        case indexBuild(IndexBuild)
        /// A collection that was made capped holds more than it may.
        case trim(Collection)
    }

    /// Carries out one operation: an insert of what is there replaces it, a deletion of what is not there does nothing.
    /// Returns what is to go on with.
    public func applyOperation(
        _ operation: DocumentView, _ context: WriteContext
    ) throws -> UnfinishedOperation? {
        guard let op = operation["op"]?.asString else {
            throw ServerError(.failedToParse, "op does not contain required string \"op\" field")
        }
        guard let ns = operation["ns"]?.asString else {
            throw ServerError(.failedToParse, "op does not contain required string \"ns\" field")
        }
        if op == "n" { return nil }
        guard let object = operation["o"]?.asDocument else {
            throw ServerError(.failedToParse, "op does not contain required document \"o\" field")
        }
        var context = context
        context.keepsEmptyTimestamps = true
        context.session = nil
        if op == "c" {
            guard let database = ns.split(separator: ".", maxSplits: 1).first, ns.hasSuffix(".$cmd") else {
                throw ServerError(
                    .invalidNamespace, "a command of applyOps needs the namespace <database>.$cmd, not \(ns)")
            }
            return try runLogged(object, String(database), CollectionUUID(operation["ui"]), context)
        }
        let namespace = try Namespace(validating: ns)
        try namespace.checkUserWritable()
        guard !namespace.isLocal else {
            throw ServerError(.illegalOperation, "applyOps does not write to the local database")
        }
        guard
            let collection = operation["ui"].flatMap({ CollectionUUID($0) }).map({ catalog.find($0) })
                ?? catalog.find(namespace)
        else {
            if op == "d" { return nil }
            throw ServerError(.namespaceNotFound, "Failed to apply operation due to missing collection \(namespace)")
        }
        // Its UUID may have led to another one than its name.
        try collection.namespace.checkUserWritable()
        guard collection.kind == .replicated else {
            throw ServerError(.illegalOperation, "applyOps does not write to the local database")
        }
        switch op {
        case "i": try applyLoggedInsert(object, collection, context)
        case "u":
            guard let id = operation["o2"]?.asDocument?["_id"] else {
                throw ServerError(.failedToParse, "an update of applyOps needs o2 with the _id")
            }
            try applyLoggedUpdate(object, id, collection, context)
        case "d":
            guard let id = object["_id"] else {
                throw ServerError(.failedToParse, "a deletion of applyOps needs the _id in o")
            }
            if let (record, old) = try record(withID: id, in: collection) {
                try step {
                    try delete(
                        record, old: old, in: collection, $0, context, nil, StatementOutcome(kind: .delete, n: 1))
                }
            }
        default: throw ServerError(.failedToParse, "invalid op type '\(op)' of applyOps")
        }
        return nil
    }

    private func applyLoggedInsert(_ document: DocumentView, _ collection: Collection, _ context: WriteContext) throws {
        if let id = document["_id"], let (record, old) = try record(withID: id, in: collection) {
            return try replace(record, old, document, collection, context)
        }
        try insertOne(document, into: collection, context)
    }

    private func replace(
        _ record: RecordKey, _ old: DocumentView, _ document: DocumentView, _ collection: Collection,
        _ context: WriteContext
    ) throws {
        let value = ValueView(type: .document, pointer: document.base, byteCount: document.byteCount)
        let program = try UpdateProgram(value, context: context.query)
        let result = try applyUpdate(program, to: record, old, position: nil, in: collection, context, nil)
        if result == nil { throw ServerError.evaluationInterrupted }
    }

    private func applyLoggedUpdate(
        _ object: DocumentView, _ id: ValueView, _ collection: Collection, _ context: WriteContext
    ) throws {
        let found = try record(withID: id, in: collection)
        if let difference = object["diff"]?.asDocument, object["$v"]?.asInteger == 2 {
            guard let (record, old) = found else { throw missing(id, collection) }
            let buffer = scratch.image
            buffer.removeAll(keeping: 1 << 20)
            try DocumentDiff.apply(difference, to: old, into: buffer)
            let new = DocumentView(base: UnsafeRawPointer(buffer.base))
            guard new["_id"].map({ Value($0) }) == old["_id"].map({ Value($0) }) else {
                throw ServerError(.immutableField, "an update of applyOps would change the immutable field '_id'")
            }
            if compareBytes(new.bytes, old.bytes) == 0 { return }
            return try step {
                try update(
                    record, old: old, new: new, logged: .difference(object), in: collection, $0, context, nil,
                    StatementOutcome(kind: .update, n: 1, nModified: 1))
            }
        }
        // Entries before 5.0 have operators, with or without the version of their form.
        let body =
            object["$v"] == nil
            ? object.document
            : Document { writer in
                for element in object where !(element.key == "$v") { writer.append(element.key, element.value) }
            }
        try body.withView { body in
            if let (record, old) = found { return try replace(record, old, body, collection, context) }
            guard body.first?.key.isOperator != true else { throw missing(id, collection) }
            try insertOne(body, into: collection, context)
        }
    }

    private func missing(_ id: ValueView, _ collection: Collection) -> ServerError {
        ServerError(
            .operationFailed,
            "Failed to apply update: no document of \(collection.namespace) has the _id \(MessageText.text(Value(id)))")
    }

    // MARK: Commands

    private func runLogged(
        _ command: DocumentView, _ database: String, _ uuid: CollectionUUID?, _ context: WriteContext
    ) throws -> UnfinishedOperation? {
        guard let first = command.first else { throw ServerError(.failedToParse, "an empty command in applyOps") }
        let name = first.key.string
        func namespace() throws(ServerError) -> Namespace {
            guard let collection = first.value.asString else {
                throw ServerError(.typeMismatch, "the command \(name) of applyOps names no collection")
            }
            let namespace = try Namespace(validating: database, collection: collection)
            guard !namespace.isLocal else {
                throw ServerError(.illegalOperation, "applyOps does not write to the local database")
            }
            return namespace
        }
        switch name {
        case "create": try createCollection(try namespace(), command, context, uuid: uuid)
        case "drop": try dropCollection(try namespace(), context)
        case "dropDatabase": try dropDatabase(database, context)
        case "renameCollection":
            guard let from = first.value.asString, let to = command["to"]?.asString else {
                throw ServerError(.typeMismatch, "renameCollection of applyOps needs two names")
            }
            try renameCollection(
                try Namespace(validating: from), to: try Namespace(validating: to),
                dropTarget: command["dropTarget"]?.isTruthy ?? false, context)
        case "collMod": _ = try modifyCollection(try namespace(), command, context)
        case "convertToCapped":
            let capped = try CollectionOptions.Capped(size: command["size"])
            return .trim(try convertToCapped(try namespace(), capped, context))
        case "createIndexes":
            let index = Document { writer in
                for element in command.dropFirst() { writer.append(element.key, element.value) }
            }
            return try index.withView { try createIndexes(try namespace(), [$0], context).build }.map {
                .indexBuild($0)
            }
        case "commitIndexBuild":
            let indexes = (command["indexes"]?.asArray).map { $0.compactMap { $0.value.asDocument } } ?? []
            return try createIndexes(try namespace(), indexes, context).build.map { .indexBuild($0) }
        case "startIndexBuild", "abortIndexBuild": break
        case "dropIndexes", "deleteIndexes":
            guard let which = command["index"] else {
                throw ServerError(.missingField, "dropIndexes of applyOps names no index")
            }
            try dropIndexes(try namespace(), which, context)
        default: throw ServerError(.commandNotSupported, "applyOps does not take the command '\(name)'")
        }
        return nil
    }
}
