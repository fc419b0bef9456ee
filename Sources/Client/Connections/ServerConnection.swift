import BSON
import Core
import Wire

/// A reply that owns its document.
struct ReceivedReply {
    let moreToCome: Bool
    let document: Document
}

/// One connection of a client: one request at a time over a channel, and its reply or replies.
final class ServerConnection {
    let address: Endpoint
    /// The pool's generation in which it was opened: an error of an older one says nothing about the server now.
    let generation: Int
    private(set) var failure: NetworkError?
    var lastUse: Instant

    private let runtime: any NodeRuntime
    private var channel: Channel?
    private let opened = OneShot<Void>()
    private var arrived: [ReceivedReply] = []
    private var waiter: OneShot<Void>?

    init(address: Endpoint, generation: Int, runtime: any NodeRuntime) {
        self.address = address
        self.generation = generation
        self.runtime = runtime
        lastUse = runtime.now
    }

    var isUsable: Bool { failure == nil && channel != nil }

    func open(
        _ transport: any Transport, timeout: Duration, compressors: [MessageCompressor] = []
    ) async throws(NetworkError) {
        var settings = Channel.Settings(connectTimeout: timeout)
        settings.compressors = compressors.compactMap { Compressor(name: $0.rawValue) }
        let channel = Channel(to: address, over: transport, runtime, settings: settings)
        self.channel = channel
        channel.onOpen = { [opened] in opened.resolve(()) }
        channel.onEnd = { [self] _, error in failed(error) }
        await opened.wait()
        if let failure { throw failure }
    }

    func close() {
        if failure == nil { failure = NetworkError(address: address, kind: .closed, message: "closed by the client") }
        channel?.close(graceful: true)
        wake()
    }

    /// Sends one message that `write` makes, and waits for the reply.
    /// - Parameter timeout: how long that may take, and each further reply that comes by itself. A connection whose
    ///   reply did not come in time is of no use any more and closes.
    func call(timeout: Duration?, _ write: (ByteBuffer, Int32) -> Void) async throws(NetworkError) -> ReceivedReply {
        try used().request(timeout: timeout, write: write) { [self] in take($0) }
        return try await nextReply()
    }

    /// The same for a `hello`.
    func hello(
        timeout: Duration, flags: UInt32, _ build: (DocumentWriter) -> Void
    ) async throws(NetworkError) -> ReceivedReply {
        try used().hello(timeout: timeout, flags: flags, build) { [self] in take($0) }
        return try await nextReply()
    }

    /// Sends a message that gets no reply.
    func post(_ write: (ByteBuffer, Int32) -> Void) throws(NetworkError) {
        let channel = try used()
        do throws(ChannelError) { try channel.post(write) } catch { throw described(error) }
    }

    /// Waits for the reply, or for the next one of a stream.
    func nextReply() async throws(NetworkError) -> ReceivedReply {
        while arrived.isEmpty {
            if let failure { throw failure }
            let next = OneShot<Void>()
            waiter = next
            await next.wait()
            waiter = nil
        }
        return arrived.removeFirst()
    }

    private func used() throws(NetworkError) -> Channel {
        guard let channel, failure == nil else { throw failure ?? described(.closed(.local)) }
        lastUse = runtime.now
        return channel
    }

    private func take(_ result: Result<Reply, ChannelError>) {
        switch result {
        case .success(let reply):
            arrived.append(ReceivedReply(moreToCome: reply.moreToCome, document: reply.body.document))
            wake()
        case .failure(let error): failed(error)
        }
    }

    private func failed(_ error: ChannelError) {
        if failure == nil { failure = described(error) }
        wake()
    }

    private func wake() {
        opened.resolve(())
        waiter?.resolve(())
    }

    private func described(_ error: ChannelError) -> NetworkError {
        let (kind, message): (NetworkError.Kind, String) =
            switch error {
            case .timedOut: (.timedOut, "no reply in time")
            case .closed(.unreachable(let why)): (.unreachable, why)
            case .closed(.timedOut): (.timedOut, "connecting timed out")
            case .closed(let reason): (.closed, "connection closed (\(reason))")
            case .unreadable(let why): (.protocolViolation, why)
            case .full: (.protocolViolation, "a request while replies are streamed")
            }
        return NetworkError(address: address, kind: kind, message: message)
    }
}
