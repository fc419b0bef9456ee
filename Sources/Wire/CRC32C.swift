/// CRC-32C (Castagnoli), the checksum that OP_MSG may carry. Drivers rarely send it, so a table is enough.
enum CRC32C {
    private static let table: [UInt32] = (0..<256).map { index in
        var value = UInt32(truncatingIfNeeded: index)
        for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
        return value
    }

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var value = UInt32.max
        for byte in bytes { value = table[Int(UInt8(truncatingIfNeeded: value) ^ byte)] ^ value >> 8 }
        return ~value
    }
}
