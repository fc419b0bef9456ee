internal import BSON
internal import Core

/// What a channel knows of compression.
struct ChannelCompression {
    /// What was received while a large message is with a helper thread: it waits, so that the order stays.
    struct Behind {
        var messages = ByteBuffer()
        var end: CloseReason?
    }

    /// How requests are compressed: what the reply to `hello` agreed to.
    private(set) var agreed: Compressor?
    /// What small messages are decompressed into, kept for the next one.
    var plain: ByteBuffer?
    var behind: Behind?

    /// Chooses the best of ours that `hello` says the other side has, too.
    mutating func agree(_ hello: DocumentView, _ offered: [Compressor]) {
        guard !offered.isEmpty, let theirs = hello["compression"]?.asArray else { return }
        let known = theirs.compactMap { $0.value.asString.flatMap { Compressor(name: $0) } }
        agreed = offered.first { known.contains($0) }
    }
}

/// OP_COMPRESSED as it comes in.
extension Channel {
    /// Takes whole messages apart, unless others wait before them.
    func read(_ messages: UnsafeRawBufferPointer) {
        if let behind = compression.behind { return behind.messages.append(messages) }
        var reader = MessageReader(messages)
        var consumed = 0
        while ending == nil, let message = reader.next() {
            consumed += message.count
            guard CompressedMessage.isOne(message) else {
                take(message)
                continue
            }
            decompress(message)
            if let behind = compression.behind {
                return behind.messages.append(UnsafeRawBufferPointer(rebasing: messages[consumed...]))
            }
        }
    }

    private func decompress(_ message: UnsafeRawBufferPointer) {
        do throws(InvalidMessage) {
            let compressed = try CompressedMessage(message)
            guard settings.compressors.contains(compressed.compressor) else {
                return end(.unreadable("compressed by \(compressed.compressor.name), which was not agreed upon"))
            }
            if compressed.uncompressedSize > Limits.decompressionBytesOnLoop { return decompressAside(message) }
            let plain = compression.plain.take() ?? ByteBuffer()
            try compressed.decompress(into: plain)
            take(plain.bytes)
            plain.removeAll(keeping: Limits.decompressionBytesOnLoop)
            compression.plain = plain
        } catch {
            end(.unreadable(error.reason))
        }
    }

    /// On a helper thread; nothing more is read meanwhile.
    private func decompressAside(_ message: UnsafeRawBufferPointer) {
        let work = Decompression(message)
        compression.behind = ChannelCompression.Behind()
        connection?.setReading(false)
        runtime.offload {
            work.run()
        } completion: { [self] in
            let behind = compression.behind.take()
            guard ending == nil, let behind else { return }
            switch work.result {
            case .success(let plain): take(plain.bytes)
            case .failure(let error): end(.unreadable(error.reason))
            case nil: end(.unreadable("a compressed message got lost"))
            }
            read(behind.messages.bytes)
            if let reason = behind.end { return connectionEnded(reason) }
            if compression.behind == nil { connection?.setReading(true) }
        }
    }
}
