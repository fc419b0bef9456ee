public import BSON
import Core

extension DataStore {
    /// A document as it is stored: with its `_id` in front, made when there is none, and with the cluster time in place
    /// of empty timestamps. Returns the given view when nothing is to do; else one of a scratch buffer, valid until the
    /// next call.
    @inline(__always)
    func prepareForInsert(_ document: DocumentView, _ context: WriteContext) throws -> DocumentView {
        var isFirst = true
        var hasIDInFront = false
        var isPlain = true
        for element in document {
            if element.key.count == 3, element.key == "_id" {
                if isFirst { hasIDInFront = true } else { isPlain = false }
            } else if element.value.type == .timestamp, element.value.asTimestamp == .zero,
                !context.keepsEmptyTimestamps
            {
                isPlain = false
            }
            isFirst = false
        }
        let prepared = hasIDInFront && isPlain ? document : try rewriteForInsert(document, context)
        guard prepared.byteCount <= Limits.documentBytesMax else { throw tooLarge(prepared.byteCount) }
        if let id = prepared.first?.value { try DataStore.checkID(id) }
        return prepared
    }

    /// A document that lacks an `_id` with one; nil for one that has it. An insert that is tried again is to be that
    /// of the same document.
    public func identified(_ document: DocumentView) -> Document? {
        guard document["_id"] == nil else { return nil }
        return Document { writer in
            writer.append("_id" as String, .objectID(newObjectID()))
            for field in document { writer.append(field.key, field.value) }
        }
    }

    @inline(never)
    private func rewriteForInsert(_ document: DocumentView, _ context: WriteContext) throws -> DocumentView {
        let buffer = scratch.document
        buffer.removeAll(keeping: 1 << 20)
        let writer = DocumentWriter(startingIn: buffer)
        if let id = document["_id"] { writer.append("_id", id) } else { writer.append("_id", objectID: newObjectID()) }
        var sawID = false
        for element in document {
            if element.key == "_id" {
                guard !sawID else { throw ServerError(.badValue, "can't have multiple _id fields in one document") }
                sawID = true
            } else if element.value.type == .timestamp, element.value.asTimestamp == .zero,
                !context.keepsEmptyTimestamps
            {
                writer.append(element.key, .timestamp(try clock.tick(context.wall)))
            } else {
                writer.append(element.key, element.value)
            }
        }
        writer.finish()
        return DocumentView(base: UnsafeRawPointer(buffer.base))
    }

    /// Puts the cluster time in place of the empty timestamps of a replacement, at its top. Returns whether there were
    /// any.
    func fillEmptyTimestamps(_ buffer: ByteBuffer, _ context: WriteContext) throws -> Bool {
        guard !context.keepsEmptyTimestamps else { return false }
        var isFilled = false
        for element in DocumentView(base: UnsafeRawPointer(buffer.base)) where !(element.key == "_id") {
            guard element.value.type == .timestamp, element.value.asTimestamp == .zero else { continue }
            let time = try clock.tick(context.wall)
            let offset = element.value.pointer - UnsafeRawPointer(buffer.base)
            buffer.base.storeBytes(of: time.rawValue.littleEndian, toByteOffset: offset, as: UInt64.self)
            isFilled = true
        }
        return isFilled
    }

    func tooLarge(_ byteCount: Int) -> ServerError {
        ServerError(
            .bsonObjectTooLarge,
            "BSONObj size: \(byteCount) is invalid. Size must be between 0 and \(Limits.documentBytesMax)")
    }

    /// Throws when a value cannot be the `_id` of a stored document.
    @inline(__always)
    static func checkID(_ id: ValueView) throws(ServerError) {
        switch id.type {
        case .array, .regex, .undefined, .document: try checkUnusualID(id)
        default: return
        }
    }

    @inline(never)
    private static func checkUnusualID(_ id: ValueView) throws(ServerError) {
        switch id.type {
        case .array: throw ServerError(.invalidIdField, "The '_id' value cannot be of type array")
        case .regex: throw ServerError(.invalidIdField, "The '_id' value cannot be of type regex")
        case .undefined: throw ServerError(.invalidIdField, "The '_id' value cannot be of type undefined")
        default:
            guard let document = id.asDocument else { return }
            for element in document where element.key.isOperator {
                throw ServerError(
                    .dollarPrefixedFieldName,
                    "_id fields may not contain '$'-prefixed fields: \(element.key.string) is not valid for storage.")
            }
        }
    }
}
