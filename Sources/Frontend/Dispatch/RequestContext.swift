package import BSON
public import Core
package import Wire

/// One command in flight: its request, its arguments, where its reply goes. A service derives its own kind, which knows
/// the service, and overrides how a command begins, waits and ends.
///
/// Made for each command. The request lies in the connection's input until the command is put off; from then on the
/// context owns a copy.
open class RequestContext {
    /// What a context is made from.
    public struct Call {
        let frontend: Frontend
        let connection: ClientConnection
        let request: Request
        let arguments: GenericArguments
        let reply: MessageWriter
        /// What the command document lies in, when it is not the request's own.
        let holder: ByteBuffer?
        let startedAt: Instant
    }

    // Held, not asked of the connection: every command reaches for it, and for the runtime, many times.
    package final let frontend: Frontend
    package final let connection: ClientConnection
    package final private(set) var request: Request
    package final let command: RegisteredCommand
    package final private(set) var arguments: GenericArguments
    /// The reply's fields go here.
    package final var reply: MessageWriter
    /// What `request` points into, when this context owns it.
    private final var retained: ByteBuffer?
    private final let holder: ByteBuffer?
    package final let startedAt: Instant
    /// How the request came, which is how its reply goes.
    final let replyCompressor: Compressor?
    /// The command as one in flight, once it was put off.
    package final var operation: Operation?
    /// When the command's `maxTimeMS` is over.
    package final var deadline = Instant.distantFuture
    /// The optime of the last write, which the reply waits for and reports; set by write commands.
    package final var lastWrite: OpTime?
    /// What is written is a whole reply, `ok` included: that of another node, which is passed on.
    package final var isRelayed = false
    /// `operationTime` of a reply that is not about a write of this node.
    package final var relayedTime: Timestamp?
    /// How long the command has waited for data to come: no sign of slowness.
    package final var idleTime: Duration = .zero
    /// The command's `opid`: given when somebody asks for it, the same before and after it was put off.
    package final private(set) lazy var operationID = frontend.nextOperationID()
    /// The reply has a `writeConcernError` already.
    package final var reportedWriteConcernError = false

    package init(_ call: consuming Call, _ command: RegisteredCommand) {
        frontend = call.frontend
        connection = call.connection
        request = call.request
        self.command = command
        arguments = call.arguments
        reply = call.reply
        holder = call.holder
        startedAt = call.startedAt
        replyCompressor = call.connection.replyCompressor
    }

    // MARK: What a service overrides

    /// Runs the command.
    open func run() throws -> CommandOutcome {
        preconditionFailure("a context runs its command")
    }

    /// Begins the command: runs it, or first waits for what has to be so before.
    open func begin() throws -> CommandOutcome { try run() }

    /// Runs the command within a task: where it may wait before it begins again.
    open func runInTask() async throws -> CommandOutcome { try run() }

    /// What has to be computed before the command runs, and may take many slices of the loop.
    open func prepare() async throws {}

    /// The outcome was `held`: calls `completion` once when the reply may go, with what it is to say as a
    /// `writeConcernError`. The request's bytes are there only until this returns.
    open func hold(responseBytes: Int, _ completion: @escaping (ServerError?) -> Void) { completion(nil) }

    /// The same in a task; writes the `writeConcernError` itself.
    open func awaitHeld() async throws {}

    /// What a command that fails so still has to wait for before it says so: a write concern. Nil: nothing. The wait
    /// returns why it was not met.
    open func wait(after error: any Error) -> (() async -> ServerError?)? { nil }

    /// Others run from here on.
    open func pause() { CrashReport.end() }
    /// The command goes on.
    open func resume() { CrashReport.begin(body, database: arguments.database) }

    /// The command has ended, and its reply of so many bytes is built; `error` is nil when it succeeded.
    open func didEnd(responseBytes: Int, failing error: (any Error)?) {}
    /// The reply of a command that was held goes out now; the request is gone.
    open func didEndHeld() {}

    // MARK: Arguments

    @inline(__always)
    package final var body: DocumentView { request.body }
    /// Where the reply's fields are appended.
    @inline(__always)
    package final var writer: DocumentWriter { reply.document }
    @inline(__always)
    package final var runtime: any NodeRuntime { frontend.runtime }

    /// The command's own argument: the value of its first field.
    @inline(__always)
    package final var argument: ValueView { arguments.argument }

    /// The database's name.
    package final var database: String {
        if let name = arguments.database { return String(decoding: name, as: UTF8.self) }
        return request.queryDatabase ?? "admin"
    }

    /// Runs the command with all that it waits for.
    package final func runToEnd() async throws {
        resume()
        try await prepare()
        switch try await runInTask() {
        case .done: break
        case .held: try await awaitHeld()
        case .later(let work): try await work()
        }
    }

    /// - Throws: `MaxTimeMSExpired` when the command has run for longer than the client allows; `Interrupted` when it
    /// was killed.
    package final func checkDeadline() throws(ServerError) {
        try connection.checkInterrupted()
        if deadline <= runtime.now {
            throw ServerError(.maxTimeMSExpired, "operation exceeded time limit")
        }
    }

    /// Lets everything else that waits for the loop run once.
    package final func yieldLoop() async {
        pause()
        await frontend.yieldLoop()
        resume()
    }

    /// The request's bytes are gone.
    final func forget() {
        request = request.replacing(body: .empty)
        arguments = GenericArguments()
    }

    /// Takes a copy of the request, which lies in `message`, and points at that from now on: the command is put off.
    /// What it has written of its reply goes along.
    final func retain(_ message: UnsafeRawBufferPointer) {
        let copy = ByteBuffer(capacity: message.count)
        copy.append(message)
        retained = copy
        let move = ByteMove(from: message, to: UnsafeRawPointer(copy.base))
        request = request.moved(by: move)
        arguments.move(move)
        reply = reply.taken()
    }
}

extension DocumentView {
    /// Whether the first field, which says what a document asks for, has that name.
    package func isFirst(_ name: StaticString) -> Bool { first.map { $0.key == name } ?? false }
}
