import BSON
import Core

/// What happened on one side of a connection.
enum TransportEvent: Sendable, Equatable {
    case accepted
    case opened
    /// One call of `didReceive`, cut into its messages.
    case received([[UInt8]])
    case closed(CloseReason)
}

/// The events of one side, in order, on the client's loop, and a way to wait for them.
final class TransportEventLog {
    private(set) var events: [TransportEvent] = []
    private let runtime: any NodeRuntime
    private let patience: Duration
    private var waiting: (isMet: ([TransportEvent]) -> Bool, continuation: UnsafeContinuation<Bool, Never>)?

    init(_ stage: TransportStage) {
        runtime = stage.subject.clientRuntime
        patience = stage.subject.patience
    }

    func add(_ event: TransportEvent) {
        events.append(event)
        guard let waiting else { return }
        if waiting.isMet(events) {
            end(true)
        } else if case .closed = event {
            // Nothing comes behind a close.
            end(false)
        }
    }

    private func end(_ isMet: Bool) {
        let continuation = waiting.take()?.continuation
        continuation?.resume(returning: isMet)
    }

    /// Waits until the events meet a condition; fails when that takes too long.
    func wait(for what: String, until isMet: @escaping ([TransportEvent]) -> Bool) async throws {
        guard !isMet(events) else { return }
        let timer = runtime.schedule(after: patience) { [self] in end(false) }
        let wasMet = await withUnsafeContinuation { waiting = (isMet, $0) }
        runtime.cancel(timer)
        try require(wasMet, "waited in vain for \(what); \(Self.summary(events))")
    }

    func waitForClose() async throws -> CloseReason {
        try await wait(for: "the close") { $0.contains { if case .closed = $0 { true } else { false } } }
        guard let reason = closes.first else { throw TransportConformanceFailure("no close was recorded") }
        return reason
    }

    func waitForMessages(_ count: Int) async throws -> [[UInt8]] {
        var seen = 0
        var next = 0
        try await wait(for: "\(count) messages") { events in
            while next < events.count {
                if case .received(let batch) = events[next] { seen += batch.count }
                next += 1
            }
            return seen >= count
        }
        return messages
    }

    var messages: [[UInt8]] {
        events.flatMap { if case .received(let batch) = $0 { batch } else { [[UInt8]]() } }
    }
    var batches: Int { events.count { if case .received = $0 { true } else { false } } }
    var closes: [CloseReason] { events.compactMap { if case .closed(let reason) = $0 { reason } else { nil } } }

    private static func summary(_ events: [TransportEvent]) -> String {
        let words = events.suffix(8).map { event in
            switch event {
            case .received(let batch): "received \(batch.count)"
            default: "\(event)"
            }
        }
        return "the last of \(events.count) events: \(words.joined(separator: ", "))"
    }
}

/// What the server's side does with a connection.
enum ServerScript: Sendable {
    /// Sends each message back.
    case echo
    /// Takes messages and says nothing.
    case record
    /// Does not read.
    case notReading
    /// Closes, gracefully, when a message comes, behind sending it back.
    case closeAfterOne
    /// Has no delegate for it.
    case refuse
}

/// A delegate that records what happens, and does what its script says. On either side.
final class ScriptedDelegate: ConnectionDelegate {
    private let script: ServerScript
    private let report: (TransportEvent) -> Void
    /// Set while the check calls `close`: no report may come inside it.
    var isInsideClose = false
    private(set) var wasReportedInsideClose = false

    init(_ script: ServerScript, report: @escaping (TransportEvent) -> Void) {
        self.script = script
        self.report = report
    }

    func connectionDidOpen(_ connection: any Connection) { report(.opened) }

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        report(.received(Self.cut(messages)))
        switch script {
        case .echo:
            connection.output.append(messages)
            connection.flush()
        case .closeAfterOne:
            connection.output.append(messages)
            connection.flush()
            connection.close(graceful: true)
        case .record, .notReading, .refuse:
            break
        }
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        if isInsideClose { wasReportedInsideClose = true }
        report(.closed(reason))
    }

    /// The messages of a batch; a batch that is not made of whole ones shows as one that no check sent.
    private static func cut(_ bytes: UnsafeRawBufferPointer) -> [[UInt8]] {
        var messages: [[UInt8]] = []
        var at = 0
        while bytes.count - at >= 4 {
            let length = Int(Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int32.self)))
            guard length >= 16, length <= bytes.count - at else { break }
            messages.append([UInt8](bytes[at..<at + length]))
            at += length
        }
        if at != bytes.count { messages.append([]) }
        return messages
    }
}

/// One check's server and clients, and what happened to them. On the client's loop, but for what it posts to the
/// server's.
final class TransportStage {
    let subject: TransportConformance.Subject
    private let serverState = ServerState()
    private var connections: [any Connection] = []

    /// What the check started on the server's loop; touched there only, which is what makes `unchecked` right.
    private final class ServerState: @unchecked Sendable {
        var listeners: [any Listener] = []
        var connections: [any Connection] = []
    }

    init(_ subject: TransportConformance.Subject) { self.subject = subject }

    /// Runs `body` on the server's loop and comes back.
    func onServer<Answer: Sendable>(_ body: @escaping @Sendable () -> Answer) async -> Answer {
        await withUnsafeContinuation { continuation in
            let client = subject.clientRuntime.mailbox
            subject.serverRuntime.value.mailbox.enqueue {
                let answer = body()
                client.enqueue { continuation.resume(returning: answer) }
            }
        }
    }

    /// A listener on the server's loop; `log` gets what happens to the connections it takes.
    func listen(_ script: ServerScript, _ log: TransportEventLog, on wanted: Endpoint? = nil) async throws -> Endpoint {
        let log = Confined(log)
        let mailbox = subject.clientRuntime.mailbox
        let server = subject.server
        let state = serverState
        let endpoint = wanted ?? subject.freeEndpoint()
        let report: @Sendable (TransportEvent) -> Void = { event in mailbox.enqueue { log.value.add(event) } }
        let result = await onServer { () -> Result<Endpoint, any Error> in
            Result {
                let listener = try server.value.listen(on: endpoint) { connection in
                    report(.accepted)
                    if case .refuse = script { return nil }
                    if case .notReading = script { connection.setReading(false) }
                    state.connections.append(connection)
                    return ScriptedDelegate(script, report: report)
                }
                state.listeners.append(listener)
                return listener.endpoint
            }
        }
        return try result.get()
    }

    func closeListeners() async {
        let state = serverState
        await onServer {
            for listener in state.listeners { listener.close() }
            state.listeners.removeAll()
        }
    }

    /// Lets the connections of the server read.
    func resumeReading() async {
        let state = serverState
        await onServer { for connection in state.connections { connection.setReading(true) } }
    }

    /// A connection of the client that records into `log`.
    func connect(
        to endpoint: Endpoint, _ log: TransportEventLog, timeout: Duration? = nil
    ) -> (connection: any Connection, delegate: ScriptedDelegate) {
        let delegate = ScriptedDelegate(.record) { log.add($0) }
        let connection = subject.client.connect(
            to: endpoint, timeout: timeout ?? subject.patience, delegate: delegate)
        connections.append(connection)
        return (connection, delegate)
    }

    /// Waits until everything that was under way must have happened: a message goes there and back on a new connection.
    func settle() async throws {
        for _ in 0..<2 {
            let endpoint = try await listen(.echo, TransportEventLog(self))
            let log = TransportEventLog(self)
            let connection = connect(to: endpoint, log).connection
            connection.output.append(testMessage(16, seed: 1))
            connection.flush()
            _ = try await log.waitForMessages(1)
        }
    }

    /// Closes whatever the check left open.
    func clear() async {
        for connection in connections { connection.close(graceful: false) }
        await closeListeners()
        let state = serverState
        await onServer {
            for connection in state.connections { connection.close(graceful: false) }
            state.connections.removeAll()
        }
    }
}

/// A message of `length` bytes whose content follows from `seed`.
func testMessage(_ length: Int, seed: UInt64) -> [UInt8] {
    var message = [UInt8](repeating: 0, count: length)
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    for index in 4..<max(length, 4) {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        message[index] = UInt8(truncatingIfNeeded: state >> 33)
    }
    withUnsafeBytes(of: Int32(length).littleEndian) { for index in 0..<4 { message[index] = $0[index] } }
    return message
}
