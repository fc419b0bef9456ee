package import BSON

extension DocumentWriter {
    /// Writes `$clusterTime`, unsigned, as without authentication.
    package func append(clusterTime time: Timestamp) {
        document("$clusterTime") {
            $0.append("clusterTime", timestamp: time)
            $0.document("signature") { signature in
                // Twenty zero bytes.
                withUnsafeBytes(of: (UInt64(0), UInt64(0), UInt32(0))) {
                    signature.append("hash", binary: UnsafeRawBufferPointer(rebasing: $0[..<20]))
                }
                signature.append("keyId", int64: 0)
            }
        }
    }
}
