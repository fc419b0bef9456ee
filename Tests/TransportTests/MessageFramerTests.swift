import BSON
import Core
import Testing

@Suite("cutting a stream into messages")
struct MessageFramerTests {
    /// What a framer made of a stream that arrived in pieces.
    private struct Outcome: Equatable {
        var messages: [UInt8] = []
        var malformed: Int32?
    }

    /// The obvious way: all bytes at once, one message after the other.
    private static func cutAtOnce(_ stream: [UInt8]) -> Outcome {
        var outcome = Outcome()
        var at = 0
        while stream.count - at >= 4 {
            let length = (0..<4).reduce(Int32(0)) { $0 | Int32(bitPattern: UInt32(stream[at + $1]) << (8 * $1)) }
            guard length >= 16, length <= 48_000_000 else {
                outcome.malformed = length
                break
            }
            guard stream.count - at >= Int(length) else { break }
            outcome.messages += stream[at..<at + Int(length)]
            at += Int(length)
        }
        return outcome
    }

    /// As a socket does it: reads where the framer says, at most `pieces` bytes at a time.
    private static func cutWhileReading(_ stream: [UInt8], shared: Int, piece: () -> Int) -> Outcome {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: shared, alignment: 16)
        defer { memory.deallocate() }
        var framer = MessageFramer()
        var outcome = Outcome()
        var at = 0
        while at < stream.count, outcome.malformed == nil {
            let space = framer.readSpace(otherwise: memory)
            let count = min(piece(), space.count, stream.count - at)
            stream.withUnsafeBytes { space.copyMemory(from: .init(rebasing: $0[at..<at + count])) }
            at += count
            let batch = framer.receive(UnsafeRawBufferPointer(start: space.baseAddress, count: count))
            outcome.messages += batch.messages
            outcome.malformed = batch.malformedLength
            framer.finish()
        }
        return outcome
    }

    /// As the loopback does it: the bytes come in buffers of their own.
    private static func cutBuffers(_ stream: [UInt8], piece: () -> Int) -> Outcome {
        var framer = MessageFramer()
        var outcome = Outcome()
        var at = 0
        while at < stream.count, outcome.malformed == nil {
            let buffer = ByteBuffer()
            buffer.append(Array(stream[at..<min(at + piece(), stream.count)]))
            at += buffer.count
            let batch = framer.receive(buffer.bytes)
            outcome.messages += batch.messages
            outcome.malformed = batch.malformedLength
            framer.finish()
        }
        return outcome
    }

    @Test("however a stream is split, the same messages come out", arguments: 0..<20)
    func randomSplits(seed: Int) {
        var generator = SplitMix64(seed: UInt64(seed))
        var stream: [UInt8] = []
        for _ in 0..<Int.random(in: 1...50, using: &generator) {
            let length =
                switch Int.random(in: 0..<20, using: &generator) {
                case 0: Int.random(in: 16...200_000, using: &generator)
                case 1...3: Int.random(in: 16...20_000, using: &generator)
                default: Int.random(in: 16...300, using: &generator)
                }
            stream += message(length, filledWith: .random(in: 0...255, using: &generator))
        }
        if seed % 3 == 0 {
            let bad: Int32 = [0, 15, -5, 48_000_001, .max].randomElement(using: &generator) ?? 0
            withUnsafeBytes(of: bad.littleEndian) { stream += $0 }
            stream += [1, 2, 3]
        }
        if seed % 3 == 1 { stream.removeLast(Int.random(in: 1...min(stream.count, 15), using: &generator)) }
        let expected = Self.cutAtOnce(stream)
        let largest = [3, 17, 300, 70_000, 1_000_000][seed % 5]
        let piece = { Int.random(in: 1...largest, using: &generator) }
        #expect(Self.cutWhileReading(stream, shared: 64 * 1024, piece: piece) == expected)
        #expect(Self.cutWhileReading(stream, shared: 128, piece: piece) == expected)
        #expect(Self.cutBuffers(stream, piece: piece) == expected)
    }

    @Test("messages that arrive whole are handed on where they lie")
    func noCopy() {
        let stream = message(100) + message(16) + message(300)
        stream.withUnsafeBytes { bytes in
            var framer = MessageFramer()
            let batch = framer.receive(bytes)
            #expect(batch.messages.baseAddress == bytes.baseAddress)
            #expect(batch.messages.count == stream.count)
            #expect(framer.pendingBytes == 0)
        }
    }

    @Test("a header that claims 48 MB gets memory only as its bytes arrive")
    func growsWithWhatArrived() {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        defer { memory.deallocate() }
        var framer = MessageFramer()
        var header = message(16)
        withUnsafeBytes(of: Int32(48_000_000).littleEndian) { for index in 0..<4 { header[index] = $0[index] } }
        let first = header.withUnsafeBytes { framer.receive($0) }
        #expect(first.messages.isEmpty && first.malformedLength == nil)
        var received = header.count
        while received < 48_000_000 {
            let space = framer.readSpace(otherwise: memory)
            #expect(space.count <= max(received, Limits.partialMessageBytesStart))
            #expect(space.count <= 48_000_000 - received)
            let batch = framer.receive(UnsafeRawBufferPointer(start: space.baseAddress, count: space.count))
            received += space.count
            #expect(batch.messages.count == (received == 48_000_000 ? 48_000_000 : 0))
            framer.finish()
        }
        #expect(framer.pendingBytes == 0)
        #expect(framer.readSpace(otherwise: memory).baseAddress == memory.baseAddress)
    }
}
