internal import BSON
internal import Core
internal import Data
internal import Wire

/// One command in flight: its request, its arguments, where its reply goes. A connection reuses one for all commands
/// that finish at once; a command that waits gets one that owns the request's bytes.
final class CommandContext {
    unowned let node: Node
    let connection: ClientConnection
    var request: Request
    var command: Command
    var arguments: GenericArguments
    /// The reply's fields go here.
    var reply: MessageWriter
    /// What `request` points into, when this context owns it.
    private let retained: ByteBuffer?
    /// What the command document lies in, when it is not the request's own.
    private let holder: ByteBuffer?
    /// When the command's `maxTimeMS` is over.
    var deadline: Instant
    let startedAt: Instant
    /// The optime of the last write, which the reply waits for and reports; set by write commands.
    var lastWrite: OpTime?
    /// The last of the replies that were sent ahead of this command's own.
    var streamed: Int32?
    /// The collection that was last found for the command's first field.
    var foundCollection: Collection?
    /// The command's variables (`let`), once they are evaluated.
    var variables: [String: Value?] = [:]
    /// What the profiler gathers, when it is to.
    var profiled: ProfiledCommand?
    /// How long the command has waited for data to come: no sign of slowness.
    var idleTime: Duration = .zero
    /// The `opid` of the command, once somebody has asked for it.
    var givenOperationID: Int32?
    /// The reply has a `writeConcernError` already.
    var reportedWriteConcernError = false

    init(
        node: Node, connection: ClientConnection, request: Request, command: Command, arguments: GenericArguments,
        reply: MessageWriter, retained: ByteBuffer?, holder: ByteBuffer?, startedAt: Instant, deadline: Instant
    ) {
        self.node = node
        self.connection = connection
        self.request = request
        self.command = command
        self.arguments = arguments
        self.reply = reply
        self.retained = retained
        self.holder = holder
        self.startedAt = startedAt
        self.deadline = deadline
    }

    /// The command's `opid`: the same before and after it was put off.
    var operationID: Int32 {
        if let id = givenOperationID { return id }
        let id = node.nextOperationID()
        givenOperationID = id
        return id
    }

    var body: DocumentView { request.body }
    /// Where the reply's fields are appended.
    var writer: DocumentWriter { reply.document }
    var runtime: any NodeRuntime { node.runtime }

    /// The command's own argument: the value of its first field.
    var argument: ValueView { request.body.first!.value }

    /// The database's name.
    var database: String {
        if let name = arguments.database { return String(decoding: name, as: UTF8.self) }
        return request.queryDatabase ?? "admin"
    }

    /// - Throws: `MaxTimeMSExpired` when the command has run for longer than the client allows; `Interrupted` when it
    /// was killed.
    func checkDeadline() throws(ServerError) {
        try connection.checkInterrupted()
        if deadline <= node.runtime.now {
            throw ServerError(.maxTimeMSExpired, "operation exceeded time limit")
        }
    }
}
