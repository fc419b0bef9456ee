internal import CSnappy
internal import CZlib
internal import CZstd

/// A compressor of messages, by its number in OP_COMPRESSED. Each is a library's: what is ours is the distrust in
/// lengths that came over the wire.
public enum Compressor: UInt8, Sendable, CaseIterable {
    case snappy = 1
    case zlib = 2
    case zstd = 3

    /// As in the `compression` field of `hello`.
    public var name: String {
        switch self {
        case .snappy: "snappy"
        case .zlib: "zlib"
        case .zstd: "zstd"
        }
    }

    /// The compressor of that name; nil when there is none.
    public init?(name: String) {
        guard let known = Compressor.allCases.first(where: { $0.name == name }) else { return nil }
        self = known
    }

    /// The most bytes that so many can become.
    func bound(_ count: Int) -> Int {
        switch self {
        case .snappy: snappy_max_compressed_length(count)
        case .zlib: Int(compressBound(UInt(count)))
        case .zstd: ZSTD_compressBound(count)
        }
    }

    /// Compresses `source` into `target`, of at least `bound` bytes. Returns how many were written; nil when the
    /// library fails. The lowest level: the loop's time is dearer than bytes.
    func compress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int? {
        switch self {
        case .snappy:
            var count = target.count
            let status = snappy_compress(
                source.assumingMemoryBound(to: CChar.self).baseAddress, source.count,
                target.assumingMemoryBound(to: CChar.self).baseAddress, &count)
            return status == SNAPPY_OK ? count : nil
        case .zlib:
            var count = UInt(target.count)
            let status = compress2(
                target.assumingMemoryBound(to: UInt8.self).baseAddress, &count,
                source.assumingMemoryBound(to: UInt8.self).baseAddress, UInt(source.count), Z_BEST_SPEED)
            return status == Z_OK ? Int(count) : nil
        case .zstd:
            let count = ZSTD_compress(target.baseAddress, target.count, source.baseAddress, source.count, 1)
            return ZSTD_isError(count) == 0 ? count : nil
        }
    }

    /// Decompresses `source`, which must become exactly as many bytes as `target` has. False when it does not: then
    /// nothing of `target` may be read.
    func decompress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Bool {
        switch self {
        case .snappy:
            var count = 0
            let bytes = source.assumingMemoryBound(to: CChar.self).baseAddress
            guard snappy_uncompressed_length(bytes, source.count, &count) == SNAPPY_OK, count == target.count else {
                return false
            }
            let status = snappy_uncompress(
                bytes, source.count, target.assumingMemoryBound(to: CChar.self).baseAddress, &count)
            return status == SNAPPY_OK && count == target.count
        case .zlib:
            var count = UInt(target.count)
            var taken = UInt(source.count)
            let status = uncompress2(
                target.assumingMemoryBound(to: UInt8.self).baseAddress, &count,
                source.assumingMemoryBound(to: UInt8.self).baseAddress, &taken)
            return status == Z_OK && count == target.count && taken == source.count
        case .zstd:
            let count = ZSTD_decompress(target.baseAddress, target.count, source.baseAddress, source.count)
            return ZSTD_isError(count) == 0 && count == target.count
        }
    }
}
