import BSON
import Core
import Testing

@testable import Wire

/// Bytes of one OP_MSG, for taking apart and breaking.
private func message(flags: UInt32 = 0, body: Document, sequences: [(String, [Document])] = []) -> [UInt8] {
    let buffer = ByteBuffer()
    let writer = MessageWriter(message: buffer, requestID: 7, responseTo: 0, flags: flags)
    body.withView { for field in $0 { writer.document.append(field.key, field.value) } }
    writer.finish()
    for (name, documents) in sequences {
        buffer.append(byte: 1)
        let size = 4 + name.utf8.count + 1 + documents.reduce(0) { $0 + $1.byteCount }
        buffer.append(littleEndian: Int32(size))
        buffer.append(Array(name.utf8) + [0])
        for document in documents { buffer.append(document.bytes) }
    }
    buffer.set(littleEndian: Int32(buffer.count), at: 0)
    return buffer.toArray()
}

@Suite struct MessageTests {
    @Test("a request is read back with its body and document sequences in place")
    func roundTrip() throws {
        let bytes = message(
            body: ["insert": "orders", "$db": "shop"], sequences: [("documents", [["_id": 1], ["_id": 2]])])
        try bytes.withUnsafeBytes { raw in
            let request = try Request(raw)
            #expect(request.requestID == 7)
            #expect(request.body["insert"]?.asString == "orders")
            let sequence = try #require(request.sequence("documents"))
            #expect(sequence.count == 2)
            #expect(sequence.map { $0["_id"]?.asInt32 } == [1, 2])
            #expect(request.sequence("updates") == nil)
        }
    }

    @Test("a message cut anywhere is refused, never read beyond its end")
    func truncated() {
        let bytes = message(
            body: ["insert": "orders", "$db": "shop"], sequences: [("documents", [["_id": 1], ["_id": 2]])])
        for length in 0..<bytes.count {
            // A copy of exactly that length, so that a sanitizer sees any read behind it.
            var cut = Array(bytes[..<length])
            if length >= 4 { cut.withUnsafeMutableBytes { $0.storeBytes(of: Int32(length), as: Int32.self) } }
            cut.withUnsafeBytes { raw in
                if let request = try? Request(raw) {
                    // Only at a section's end can what is left be whole.
                    #expect(request.firstSequence == nil || request.firstSequence?.count == 1)
                }
            }
        }
    }

    @Test("unknown required flags, unknown sections and repeated sections close the connection")
    func malformed() {
        func refused(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { refusal(of: $0)?.isFramingLost ?? false } }
        let body: Document = ["ping": 1, "$db": "admin"]
        #expect(!refused(message(body: body)))
        #expect(refused(message(flags: 1 << 5, body: body)))
        #expect(refused(message(body: body, sequences: [("a", [[:]]), ("a", [[:]])])))
        #expect(refused(message(body: body, sequences: [("a", []), ("b", []), ("c", [])])))
        var unknownSection = message(body: body)
        unknownSection[20] = 9
        #expect(refused(unknownSection))
        var unknownOperation = message(body: body)
        unknownOperation[12] = 99
        #expect(refused(unknownOperation))
    }

    @Test("broken BSON in a whole message can be answered")
    func brokenBody() {
        var bytes = message(body: ["ping": true, "$db": "admin"])
        bytes[4 + 17 + 4 + 6] = 7  // the boolean's byte
        #expect(bytes.withUnsafeBytes { refusal(of: $0)?.isFramingLost } == false)
    }

    /// Why a request is not understood; nil when it is.
    private func refusal(of message: UnsafeRawBufferPointer) -> InvalidMessage? {
        do {
            _ = try Request(message)
            return nil
        } catch {
            return error
        }
    }

    @Test("a checksum is verified: CRC-32C of the published check value, and of a message")
    func checksum() throws {
        #expect(Array("123456789".utf8).withUnsafeBytes { CRC32C.checksum($0) } == 0xE306_9283)
        var bytes = message(flags: MessageFlags.checksumPresent, body: ["ping": 1, "$db": "admin"]) + [0, 0, 0, 0]
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: Int32($0.count).littleEndian, as: Int32.self) }
        #expect(bytes.withUnsafeBytes { refusal(of: $0) } != nil)
        let sum = bytes.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0.dropLast(4))) }
        let end = bytes.count - 4
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: sum.littleEndian, toByteOffset: end, as: UInt32.self) }
        try bytes.withUnsafeBytes { raw in
            let request = try Request(raw)
            #expect(request.body["ping"]?.asInt32 == 1)
        }
    }

    @Test("OP_QUERY is read on a command namespace, and elsewhere told apart")
    func query() throws {
        func query(_ namespace: String) -> [UInt8] {
            let buffer = ByteBuffer()
            for number in [0, 3, 0, OpCode.query, 4] as [Int32] { buffer.append(littleEndian: number) }
            buffer.append(Array(namespace.utf8) + [0])
            for number in [0, -1] as [Int32] { buffer.append(littleEndian: number) }
            buffer.append((["ismaster": 1, "helloOk": true] as Document).bytes)
            buffer.set(littleEndian: Int32(buffer.count), at: 0)
            return buffer.toArray()
        }
        try query("admin.$cmd").withUnsafeBytes { raw in
            let request = try Request(raw)
            #expect(request.form == .query)
            #expect(request.queryDatabase == "admin")
            #expect(request.querySecondaryOk)
        }
        try query("shop.orders").withUnsafeBytes { raw in
            let request = try Request(raw)
            #expect(request.form == .query)
            #expect(request.queryDatabase == nil)
            #expect(request.queriedCollection == "shop.orders")
        }
    }

    @Test("a reply in either form is read back")
    func replies() throws {
        for isMessage in [true, false] {
            let buffer = ByteBuffer()
            let writer =
                isMessage
                ? MessageWriter(message: buffer, requestID: 1, responseTo: 9)
                : MessageWriter(reply: buffer, requestID: 1, responseTo: 9)
            writer.document.append("ok", double: 1)
            writer.finish()
            let reply = try Reply(buffer.bytes)
            #expect(reply.responseTo == 9)
            #expect(reply.body["ok"]?.asDouble == 1)
        }
    }

    @Test("restarting a reply drops its fields and keeps its header")
    func restart() throws {
        let buffer = ByteBuffer()
        let writer = MessageWriter(message: buffer, requestID: 1, responseTo: 9)
        writer.document.append("n", int32: 1)
        writer.restart()
        writer.document.append("ok", double: 0)
        writer.finish()
        let reply = try Reply(buffer.bytes)
        #expect(reply.body.document == ["ok": 0.0])
    }
}
