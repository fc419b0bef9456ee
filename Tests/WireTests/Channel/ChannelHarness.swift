import BSON
import Core
import Simulation
import Wire

/// A channel and a peer that answers when and what the test says, in virtual time.
final class ChannelHarness {
    /// How a request ended: a reply's `n`, or why there was none.
    enum Outcome: Equatable {
        case reply(Int32)
        case failed(ChannelError)
    }

    let world = SimulatedWorld(seed: 1)
    let peer: ScriptedPeer
    let channel: Channel
    /// In the order in which requests ended: which one, and how.
    private(set) var outcomes: [(request: Int32, outcome: Outcome)] = []
    private(set) var ends: [ChannelError] = []

    init(configure: (inout Channel.Settings) -> Void = { _ in }) throws {
        let there = world.addNode("peer")
        let here = world.addNode("here")
        peer = ScriptedPeer(runtime: there)
        try peer.listen(world.network.transport(for: there))
        var settings = Channel.Settings(connectTimeout: .seconds(1))
        configure(&settings)
        channel = Channel(
            to: peer.endpoint, over: world.network.transport(for: here), here, settings: settings)
        channel.onEnd = { [unowned self] _, error in ends.append(error) }
    }

    /// Asks for `n`, `count` times, each with the next number.
    func ask(_ numbers: ClosedRange<Int32>, timeout: Duration? = nil, pad: String = "") {
        for number in numbers {
            channel.request(timeout: timeout, database: "admin") {
                $0.append("n", int32: number)
                $0.append("pad", string: pad)
            } completion: { [unowned self] in
                note(number, $0)
            }
        }
    }

    func note(_ request: Int32, _ result: Result<Reply, ChannelError>) {
        switch result {
        case .success(let reply):
            let answer = reply.body["n"]?.asInteger.map { Int32(truncatingIfNeeded: $0) } ?? 0
            outcomes.append((request, .reply(answer)))
        case .failure(let error): outcomes.append((request, .failed(error)))
        }
    }

    var ended: [Int32] { outcomes.map(\.request) }
    var isAnsweredRightly: Bool { outcomes.allSatisfy { $0.outcome == .reply($0.request) } }

    func runUntilAsked(_ count: Int) throws {
        try world.run(until: { self.peer.requests.count >= count }, atMost: .seconds(5), "the requests")
    }

    func runUntilEnded(_ count: Int) throws {
        try world.run(until: { self.outcomes.count >= count }, atMost: .seconds(60), "the replies")
    }
}

/// Takes requests, compressed or not, and answers them by hand.
final class ScriptedPeer: ConnectionDelegate {
    struct Asked {
        let id: Int32
        let document: Document
        let wasCompressed: Bool
    }

    let runtime: SimulatedRuntime
    let endpoint = Endpoint(host: "peer", port: 27017)
    private(set) var requests: [Asked] = []
    private(set) var connection: (any Connection)?
    /// `compression` of what it answers to `hello`, which it does at once.
    var compressors: [Compressor] = []
    private var listener: (any Listener)?
    private var lastReply: Int32 = 5000

    init(runtime: SimulatedRuntime) { self.runtime = runtime }

    func listen(_ transport: any Transport) throws {
        listener = try transport.listen(on: endpoint) { [unowned self] connection in
            self.connection = connection
            return self
        }
    }

    /// Answers with the request's own number.
    func answer(_ asked: Asked, pad: String = "", with compressor: Compressor? = nil) {
        send(["n": asked.document["n"] ?? 0, "pad": .string(pad)], to: asked.id, with: compressor)
    }

    /// - Returns: the number of the reply.
    @discardableResult
    func send(_ document: Document, to id: Int32, more: Bool = false, with compressor: Compressor? = nil) -> Int32 {
        guard let connection else { return 0 }
        lastReply += 1
        let plain = ByteBuffer()
        let message = MessageWriter(
            message: plain, requestID: lastReply, responseTo: id, flags: more ? MessageFlags.moreToCome : 0)
        document.withView { for field in $0 { message.document.append(field.key, field.value) } }
        message.finish()
        let isCompressed = compressor.map { CompressedMessage.append(plain.bytes, with: $0, to: connection.output) }
        if isCompressed != true { connection.output.append(plain.bytes) }
        connection.flush()
        return lastReply
    }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        var reader = MessageReader(messages)
        while let message = reader.next() {
            let plain = ByteBuffer()
            let isCompressed = CompressedMessage.isOne(message)
            if isCompressed {
                do { try CompressedMessage(message).decompress(into: plain) } catch { continue }
            } else {
                plain.append(message)
            }
            guard let request = try? Request(plain.bytes) else { continue }
            let asked = Asked(id: request.requestID, document: request.body.document, wasCompressed: isCompressed)
            if asked.document.keys.first == "hello" {
                send(["ok": 1, "compression": .array(compressors.map { .string($0.name) })], to: asked.id)
            } else {
                requests.append(asked)
            }
        }
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) { self.connection = nil }
}
