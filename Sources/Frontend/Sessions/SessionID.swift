package import BSON
package import Core

/// A logical session's id: the 16 bytes of the client's `lsid.id`.
package struct SessionID: Hashable {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads a command's `lsid` argument.
    package init(argument value: ValueView) throws(ServerError) {
        guard let view = value.asDocument else { throw wrongType("lsid", value, "object") }
        guard let id = view["id"] else {
            throw ServerError(.missingField, "BSON field 'lsid.id' is missing but a required field")
        }
        guard let (subtype, bytes) = id.asBinary, subtype == 4, bytes.count == 16 else {
            throw ServerError(.typeMismatch, "BSON field 'lsid.id' must be a UUID: binData of subtype 4 and 16 bytes")
        }
        high = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
        low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// The 16 bytes.
    package var bytes: [UInt8] {
        withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { [UInt8]($0) }
    }
}
