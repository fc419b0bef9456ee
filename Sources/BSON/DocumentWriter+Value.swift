extension DocumentWriter {
    /// Appends the payload of a value behind its type byte and name.
    func appendPayload(_ value: Value) {
        switch value {
        case .double(let value): buffer.append(littleEndian: value.bitPattern)
        case .string(let value), .symbol(let value), .javascript(let value): append(text: value)
        case .document(let value), .array(let value): buffer.append(value.storage)
        case .binary(let subtype, let bytes):
            // The old binary subtype repeats its length inside.
            let inner = subtype == 2 ? 4 : 0
            buffer.append(littleEndian: Int32(truncatingIfNeeded: bytes.count + inner))
            buffer.append(byte: subtype)
            if inner > 0 { buffer.append(littleEndian: Int32(truncatingIfNeeded: bytes.count)) }
            buffer.append(bytes)
        case .undefined, .null, .minKey, .maxKey: break
        case .objectID(let value): value.store(to: buffer.extend(by: 12))
        case .bool(let value): buffer.append(byte: value ? 1 : 0)
        case .dateTime(let value), .int64(let value): buffer.append(littleEndian: value)
        case .regex(let pattern, let options):
            append(name: pattern)
            append(name: options)
        case .dbPointer(let namespace, let id):
            append(text: namespace)
            id.store(to: buffer.extend(by: 12))
        case .javascriptWithScope(let code, let scope):
            buffer.append(littleEndian: Int32(truncatingIfNeeded: 4 + 4 + code.utf8.count + 1 + scope.byteCount))
            append(text: code)
            buffer.append(scope.storage)
        case .int32(let value): buffer.append(littleEndian: value)
        case .timestamp(let value): buffer.append(littleEndian: value.rawValue)
        case .decimal128(let value):
            buffer.append(littleEndian: value.low)
            buffer.append(littleEndian: value.high)
        }
    }

    private func append(text: String) {
        var text = text
        text.withUTF8 { utf8 in
            DocumentWriter.store(utf8: UnsafeRawBufferPointer(utf8), at: buffer.extend(by: utf8.count + 5))
        }
    }

    private func append(name: String) {
        var name = name
        name.withUTF8 { buffer.append(UnsafeRawBufferPointer($0)) }
        buffer.append(byte: 0)
    }
}
