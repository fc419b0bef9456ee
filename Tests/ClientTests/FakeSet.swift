import BSON
import Core
import Simulation
import Wire

/// A replica set that only looks like one: members answer hello and a few commands as a test's script says.
final class FakeSet {
    /// What a member does with a command.
    enum Reaction {
        case reply(Document)
        /// Closes the connection without an answer.
        case drop
        /// Carries the command out, then closes the connection: the client cannot know.
        case carryOutAndDrop
        /// Answers as it would without a script.
        case usual
        case silence
    }

    let world: SimulatedWorld
    let setName: String?
    private(set) var members: [FakeMember] = []
    /// All inserted documents, in order; shared by the members as if replicated at once.
    var documents: [Document] = []
    /// Retryable writes that have been carried out: a second one of the same number is not.
    var done: Set<String> = []
    var term = 1
    /// Asked for each command but hello.
    var script: (_ member: String, _ command: Document) -> Reaction = { _, _ in .usual }
    /// Every command that arrived, but hello.
    var log: [(member: String, command: Document)] = []
    var clock: UInt32 = 100
    /// What the members say in `hello` that they have, whatever they are asked.
    var compressors: [Compressor] = []
    var compressedRequests = 0

    init(world: SimulatedWorld, setName: String? = "rs0", names: [String] = ["a", "b", "c"], primary: String? = "a") {
        self.world = world
        self.setName = setName
        for name in names {
            world.addNode(name) { [unowned self] runtime in
                let member = FakeMember(set: self, runtime: runtime)
                member.isPrimary = name == primary && runtime.run == 0
                members.removeAll { $0.name == name }
                members.append(member)
                member.start()
            }
        }
    }

    subscript(name: String) -> FakeMember { members.first { $0.name == name }! }
    var names: [String] { members.map(\.name).sorted() }

    /// Makes a member primary in a new term; the old one steps down at the same time.
    func elect(_ name: String?) {
        term += 1
        for member in members {
            let was = member.isPrimary
            member.isPrimary = member.name == name
            member.electionTerm = term
            if member.isPrimary != was { member.changed() }
        }
    }

    func commands(_ name: String) -> [(member: String, command: Document)] {
        log.filter { $0.command.keys.first == name }
    }
}

/// One member of a `FakeSet`.
final class FakeMember: ConnectionDelegate {
    let name: String
    let runtime: SimulatedRuntime
    private unowned let set: FakeSet
    var isPrimary = false
    var electionTerm = 1
    var supportsStreaming = true
    var supportsSessions = true
    var maxWireVersion: Int32 = 25
    /// Members that it names; nil for all.
    var hosts: [String]?
    private(set) var helloCount = 0
    private(set) var openConnections = 0
    private(set) var openConnectionsMost = 0
    private var transport: SimulatedTransport
    private var listener: (any Listener)?
    private var counter: Int64 = 1
    private let processID: ObjectID
    private var nextReply: Int32 = 1000
    /// Hellos that wait for a change: the connection and the request that the next reply answers.
    private var awaiting: [UInt64: (connection: any Connection, request: Int32, timer: TimerToken, wait: Int64)] = [:]

    init(set: FakeSet, runtime: SimulatedRuntime) {
        self.set = set
        self.runtime = runtime
        name = runtime.name
        transport = runtime.world.network.transport(for: runtime)
        processID = ObjectID(high: runtime.randomNumber(), low: 1)
    }

    var address: Endpoint { Endpoint(host: name, port: 27017) }

    func start() {
        listener = try? transport.listen(on: address) { [self] _ in
            openConnections += 1
            openConnectionsMost = max(openConnectionsMost, openConnections)
            return self
        }
    }

    /// Tells all clients that wait for a change.
    func changed() {
        counter += 1
        for id in awaiting.keys.sorted() { answerAwaited(id) }
    }

    private func answerAwaited(_ id: UInt64) {
        guard let waiting = awaiting[id] else { return }
        runtime.cancel(waiting.timer)
        nextReply += 1
        let reply = nextReply
        send(hello(), on: waiting.connection, requestID: reply, responseTo: waiting.request, more: true)
        awaitChange(waiting.connection, request: reply, wait: waiting.wait)
    }

    private func awaitChange(_ connection: any Connection, request: Int32, wait: Int64) {
        let id = connection.id
        let timer = runtime.schedule(after: .milliseconds(wait)) { [self] in answerAwaited(id) }
        awaiting[id] = (connection, request, timer, wait)
    }

    private func hello() -> Document {
        var reply: Document = [
            "ok": 1, "helloOk": true, "minWireVersion": 0, "maxWireVersion": .int32(maxWireVersion),
            "isWritablePrimary": .bool(isPrimary),
        ]
        if supportsSessions { reply.append("logicalSessionTimeoutMinutes", 30) }
        if supportsStreaming {
            reply.append("topologyVersion", .document(["processId": .objectID(processID), "counter": .int64(counter)]))
        }
        if !set.compressors.isEmpty {
            reply.append("compression", .array(set.compressors.map { .string($0.name) }))
        }
        guard let setName = set.setName else { return reply }
        let names = (hosts ?? set.names).map { Value.string("\($0):27017") }
        reply.append("setName", .string(setName))
        reply.append("secondary", .bool(!isPrimary))
        reply.append("hosts", .array(names))
        reply.append("me", .string("\(address)"))
        reply.append("setVersion", 1)
        if isPrimary {
            reply.append("electionId", .objectID(ObjectID(high: 0x7FFF_FFFF_0000_0000, low: UInt32(electionTerm))))
        }
        reply.append("lastWrite", ["lastWriteDate": .dateTime(runtime.wallClock.milliseconds)])
        return reply
    }

    private func send(
        _ document: Document, on connection: any Connection, requestID: Int32, responseTo: Int32, more: Bool = false
    ) {
        let flags = more ? MessageFlags.moreToCome : 0
        let message = MessageWriter(
            message: connection.output, requestID: requestID, responseTo: responseTo, flags: flags)
        document.withView { for field in $0 { message.document.append(field.key, field.value) } }
        message.finish()
        connection.flush()
    }

    // MARK: ConnectionDelegate

    func connection(_ connection: any Connection, didReceive messages: UnsafeRawBufferPointer) {
        var reader = MessageReader(messages)
        while let bytes = reader.next() {
            let plain = ByteBuffer()
            if CompressedMessage.isOne(bytes) {
                set.compressedRequests += 1
                guard let message = try? CompressedMessage(bytes), (try? message.decompress(into: plain)) != nil else {
                    return connection.close(graceful: false)
                }
            } else {
                plain.append(bytes)
            }
            guard let request = try? Request(plain.bytes) else { return connection.close(graceful: false) }
            handle(request, connection)
        }
    }

    func connectionDidClose(_ connection: any Connection, reason: CloseReason) {
        openConnections -= 1
        if let waiting = awaiting.removeValue(forKey: connection.id) { runtime.cancel(waiting.timer) }
    }

    private func handle(_ request: Request, _ connection: any Connection) {
        var command = request.body.document
        for sequence in [request.firstSequence, request.secondSequence] {
            guard let sequence else { continue }
            command.append(sequence.identifier.string, .array(sequence.map { .document($0.document) }))
        }
        if command.keys.first == "hello" { return answerHello(command, request, connection) }
        set.log.append((name, command))
        switch set.script(name, command) {
        case .reply(let document): reply(document, request, connection)
        case .drop: connection.close(graceful: false)
        case .carryOutAndDrop:
            _ = usualReply(command)
            connection.close(graceful: true)
        case .usual: reply(usualReply(command), request, connection)
        case .silence: break
        }
    }

    private func answerHello(_ command: Document, _ request: Request, _ connection: any Connection) {
        helloCount += 1
        let known = command["topologyVersion"]?.asDocument
        let isCurrent = known?["counter"]?.asInteger == counter && known?["processId"]?.asObjectID == processID
        if let wait = command["maxAwaitTimeMS"]?.asInteger, request.allowsExhaust {
            if isCurrent { return awaitChange(connection, request: request.requestID, wait: wait) }
            nextReply += 1
            send(hello(), on: connection, requestID: nextReply, responseTo: request.requestID, more: true)
            return awaitChange(connection, request: nextReply, wait: wait)
        }
        reply(hello(), request, connection)
    }

    private func reply(_ document: Document, _ request: Request, _ connection: any Connection) {
        guard !request.isUnacknowledged else { return }
        nextReply += 1
        var document = document
        if set.setName != nil {
            set.clock += 1
            let time = Value.timestamp(Timestamp(seconds: set.clock, increment: 1))
            document.append("operationTime", time)
            document.append("$clusterTime", ["clusterTime": time])
        }
        send(document, on: connection, requestID: nextReply, responseTo: request.requestID)
    }

    private func usualReply(_ command: Document) -> Document {
        let isWrite = ["insert", "update", "delete", "findAndModify"].contains(command.keys.first ?? "")
        if isWrite, set.setName != nil, !isPrimary { return notPrimary(command) }
        switch command.keys.first {
        case "insert": return insert(command)
        case "find": return find(command)
        case "getMore":
            let rest = Array(set.documents.dropFirst(2))
            return [
                "ok": 1,
                "cursor": ["id": .int64(0), "ns": "shop.orders", "nextBatch": .array(rest.map { .document($0) })],
            ]
        case "delete": return ["ok": 1, "n": 1]
        case "update": return ["ok": 1, "n": 1, "nModified": 1]
        default: return ["ok": 1]
        }
    }

    func notPrimary(_ command: Document) -> Document {
        var reply: Document = ["ok": 0, "code": 10107, "codeName": "NotWritablePrimary", "errmsg": "not primary"]
        if command["txnNumber"] != nil { reply.append("errorLabels", ["RetryableWriteError"]) }
        if supportsStreaming {
            reply.append("topologyVersion", .document(["processId": .objectID(processID), "counter": .int64(counter)]))
        }
        return reply
    }

    private func insert(_ command: Document) -> Document {
        let documents = command["documents"]?.asArray?.compactMap(\.asDocument) ?? []
        if let number = command["txnNumber"]?.asInteger, let lsid = command["lsid"]?.asDocument {
            if !set.done.insert("\(lsid.bytes) \(number)").inserted {
                return ["ok": 1, "n": .int32(Int32(documents.count))]
            }
        }
        var inserted: Int32 = 0
        for (index, document) in documents.enumerated() {
            if set.documents.contains(where: { $0["_id"] == document["_id"] }) {
                let error: Document = [
                    "index": .int32(Int32(index)), "code": 11000, "errmsg": "E11000 duplicate key",
                    "keyPattern": ["_id": 1], "keyValue": ["_id": document["_id"] ?? .null],
                ]
                return ["ok": 1, "n": .int32(inserted), "writeErrors": [.document(error)]]
            }
            set.documents.append(document)
            inserted += 1
        }
        return ["ok": 1, "n": .int32(inserted)]
    }

    private func find(_ command: Document) -> Document {
        let isSingle = command["singleBatch"]?.asBool == true
        let first = isSingle ? Array(set.documents.prefix(1)) : Array(set.documents.prefix(2))
        let id: Int64 = !isSingle && set.documents.count > 2 ? 77 : 0
        return [
            "ok": 1,
            "cursor": ["id": .int64(id), "ns": "shop.orders", "firstBatch": .array(first.map { .document($0) })],
        ]
    }
}
