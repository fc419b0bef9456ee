import BSON
import Core
import Testing

@testable import Wire

@Suite("Compressed messages") struct CompressionTests {
    private func plain(text: String = String(repeating: "all work and no play ", count: 500)) -> [UInt8] {
        let buffer = ByteBuffer()
        let writer = MessageWriter(message: buffer, requestID: 7, responseTo: 3)
        writer.document.append("text", string: text)
        writer.finish()
        return buffer.toArray()
    }

    private func compressed(_ message: [UInt8], _ compressor: Compressor) throws -> [UInt8] {
        let buffer = ByteBuffer()
        #expect(message.withUnsafeBytes { CompressedMessage.append($0, with: compressor, to: buffer) })
        return buffer.toArray()
    }

    private func decompressed(_ message: [UInt8]) throws -> [UInt8] {
        let buffer = ByteBuffer()
        try message.withUnsafeBytes { try CompressedMessage($0).decompress(into: buffer) }
        return buffer.toArray()
    }

    @Test("what was compressed comes back byte for byte", arguments: Compressor.allCases)
    func roundTrip(compressor: Compressor) throws {
        let message = plain()
        let small = try compressed(message, compressor)
        #expect(small.count < message.count / 4)
        #expect(small.withUnsafeBytes { CompressedMessage.isOne($0) })
        #expect(try decompressed(small) == message)
    }

    @Test("what would not become shorter is left as it is", arguments: Compressor.allCases)
    func incompressible(compressor: Compressor) {
        var state: UInt64 = 1
        let noise = (0..<300).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1
            return Character(UnicodeScalar(UInt8(33 + (state >> 33) % 94)))
        }
        let message = plain(text: String(noise.prefix(8)))
        let buffer = ByteBuffer()
        #expect(!message.withUnsafeBytes { CompressedMessage.append($0, with: compressor, to: buffer) })
        #expect(buffer.count == 0)
    }

    @Test(
        "a length that is not what the bytes become is refused, a byte too much or too little",
        arguments: Compressor.allCases)
    func lies(compressor: Compressor) throws {
        let message = plain()
        let honest = try compressed(message, compressor)
        for lie in [-1, 1, 1000, -1000] {
            var bytes = honest
            bytes.withUnsafeMutableBytes {
                $0.storeBytes(of: Int32(message.count - 16 + lie), toByteOffset: 20, as: Int32.self)
            }
            #expect(throws: InvalidMessage.self, "\(lie)") { try decompressed(bytes) }
        }
    }

    @Test("a damaged message is refused or becomes as many bytes as it says", arguments: Compressor.allCases)
    func damage(compressor: Compressor) throws {
        let message = plain()
        let honest = try compressed(message, compressor)
        for position in 25..<honest.count {
            for flip in [UInt8(1), 0x80, 0xFF] {
                var bytes = honest
                bytes[position] ^= flip
                if let result = try? decompressed(bytes) { #expect(result.count == message.count) }
            }
            var cut = Array(honest[..<position])
            cut.withUnsafeMutableBytes { $0.storeBytes(of: Int32(position), as: Int32.self) }
            #expect(throws: InvalidMessage.self) { try decompressed(cut) }
        }
    }

    @Test("heads that the limits do not allow are refused before anything is allocated")
    func heads() throws {
        let honest = try compressed(plain(), .zlib)
        func refused(_ change: (UnsafeMutableRawBufferPointer) -> Void) -> Bool {
            var bytes = honest
            bytes.withUnsafeMutableBytes(change)
            return (try? decompressed(bytes)) == nil
        }
        for size in [0, -1, Int32.min, Int32.max, Int32(Limits.messageBytesMax - 15)] {
            #expect(refused { $0.storeBytes(of: size, toByteOffset: 20, as: Int32.self) })
        }
        #expect(refused { $0.storeBytes(of: OpCode.compressed, toByteOffset: 16, as: Int32.self) })
        #expect(refused { $0.storeBytes(of: 1, toByteOffset: 16, as: Int32.self) })
        for number in [0, 4, 255] as [UInt8] { #expect(refused { $0[24] = number }) }
        #expect(throws: InvalidMessage.self) { try decompressed(Array(honest[..<24])) }
    }
}
