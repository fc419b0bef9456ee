internal import BSON
internal import Core
internal import Wire

/// OP_COMPRESSED, in and out: the message within is handled like any, and its reply is compressed as it was.
extension ClientConnection {
    /// `compression` of a `hello`: of what the client offers, what this node can, in the client's order.
    func negotiate(_ offered: ValueView) throws(ServerError) {
        guard let names = offered.asArray else { throw wrongType("compression", offered, "array") }
        compressors = []
        for name in names {
            guard let compressor = name.value.asString.flatMap({ Compressor(name: $0) }) else { continue }
            if !compressors.contains(compressor) { compressors.append(compressor) }
        }
    }

    /// Handles one whole message. A large one is decompressed by a helper thread, and the connection waits for it.
    func take(_ message: UnsafeRawBufferPointer, _ frontend: Frontend) {
        replyCompressor = nil
        guard CompressedMessage.isOne(message) else { return frontend.handle(message, on: self) }
        do throws(InvalidMessage) {
            let compressed = try CompressedMessage(message)
            guard compressors.contains(compressed.compressor) else {
                return refuse("a message compressed by \(compressed.compressor.name), which was not agreed upon")
            }
            replyCompressor = compressed.compressor
            if compressed.uncompressedSize > Limits.decompressionBytesOnLoop { return decompressAside(message) }
            let plain = plain ?? ByteBuffer(capacity: compressed.uncompressedSize + MessageHeader.byteCount)
            self.plain = plain
            try compressed.decompress(into: plain)
            handlePlain(plain)
            plain.removeAll(keeping: Limits.decompressionBytesOnLoop)
        } catch {
            refuse(error.reason)
        }
    }

    private func refuse(_ reason: String) {
        frontend.counters.malformedMessages += 1
        close(because: reason)
    }

    private func handlePlain(_ plain: ByteBuffer) {
        let start = connection.output.count
        frontend.handle(plain.bytes, on: self)
        compressReply(from: start, with: replyCompressor)
    }

    private func decompressAside(_ message: UnsafeRawBufferPointer) {
        let work = Decompression(message)
        beginDecompressing()
        frontend.runtime.offload {
            work.run()
        } completion: { [self] in
            endDecompressing {
                switch work.result {
                case .success(let plain): handlePlain(plain)
                case .failure(let error): refuse(error.reason)
                case nil: refuse("a compressed message got lost")
                }
            }
        }
    }

    /// Appends a reply that was built in a buffer of its own.
    func send(_ reply: MessageWriter, compressedBy compressor: Compressor?) {
        let start = output.count
        output.append(reply.bytes)
        frontend.counters.bytesOut &+= output.count - start
        compressReply(from: start, with: compressor)
    }

    /// Compresses what was written behind `start`, if the request was, and if it is worth the loop's time.
    func compressReply(from start: Int, with compressor: Compressor?) {
        guard let compressor else { return }
        frontend.counters.compressionSaved &+= CompressedMessage.compressLast(
            of: connection.output, from: start, with: compressor)
    }
}
