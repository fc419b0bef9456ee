import BSON

/// Element headers whose payload is written behind them in place: type, name, terminator.
enum ElementHeader {
    @inline(__always) static func append(_ type: BSONType, _ key: KeyView, to buffer: ByteBuffer) {
        let at = buffer.extend(by: key.count + 2)
        at.storeBytes(of: type.rawValue, as: UInt8.self)
        (at + 1).copyMemory(from: key.base, byteCount: key.count)
        (at + 1 + key.count).storeBytes(of: 0, as: UInt8.self)
    }

    /// The header of an array's element.
    static func append(_ type: BSONType, index: Int, to buffer: ByteBuffer) {
        buffer.append(byte: type.rawValue)
        var divisor = 1
        while index / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            buffer.append(byte: UInt8(truncatingIfNeeded: 48 + index / divisor % 10))
            divisor /= 10
        }
        buffer.append(byte: 0)
    }

    static func append(_ value: ValueView, index: Int, to buffer: ByteBuffer) {
        append(value.type, index: index, to: buffer)
        buffer.append(value.pointer, count: value.byteCount)
    }
}
