public import BSON
import Core

/// A session as the server knows it: an id, and the number of its last retryable write.
final class ServerSession {
    /// `{id: Binary subtype 4}`.
    let lsid: Document
    private(set) var transactionNumber: Int64 = 0
    var lastUse: Instant
    /// A connection broke under it: the server may still be busy with it.
    var isDirty = false

    init(runtime: any NodeRuntime) {
        lastUse = runtime.now
        var bytes: [UInt8] = []
        for word in [runtime.randomNumber(), runtime.randomNumber()] {
            withUnsafeBytes(of: word.bigEndian) { bytes.append(contentsOf: $0) }
        }
        // Version 4, variant 1 (RFC 9562).
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        lsid = ["id": .binary(subtype: 4, bytes)]
    }

    func nextTransactionNumber() -> Int64 {
        transactionNumber &+= 1
        return transactionNumber
    }
}

/// A client's run of operations that see one another's effects, in order (causal consistency).
public final class ClientSession {
    /// Whether reads wait until the member they go to has what this session has seen.
    public let isCausallyConsistent: Bool
    /// The time of the last operation.
    public private(set) var operationTime: Timestamp?
    /// The newest `$clusterTime` seen by this session.
    public private(set) var clusterTime: Document?
    /// Whether `end` was called.
    public private(set) var hasEnded = false
    let isImplicit: Bool
    var serverSession: ServerSession?
    private let pool: SessionPool

    init(pool: SessionPool, isImplicit: Bool, isCausallyConsistent: Bool) {
        self.pool = pool
        self.isImplicit = isImplicit
        self.isCausallyConsistent = isCausallyConsistent
    }

    /// Lets this session wait for what another has seen.
    public func advance(operationTime time: Timestamp) { operationTime = max(operationTime ?? time, time) }
    /// Lets this session carry another's cluster time.
    public func advance(clusterTime time: Document) { clusterTime = ClusterTime.newer(clusterTime, time) }

    /// Gives the session's id back. Idempotent.
    public func end() {
        guard !hasEnded else { return }
        hasEnded = true
        if let serverSession { pool.giveBack(serverSession) }
        serverSession = nil
    }
}

/// `$clusterTime` as clients pass it on.
enum ClusterTime {
    static func newer(_ a: Document?, _ b: Document) -> Document {
        guard let a, let old = a["clusterTime"]?.asTimestamp else { return b }
        guard let new = b["clusterTime"]?.asTimestamp, new > old else { return a }
        return b
    }
}

/// Session ids that are not in use, used last-in first-out so that few stay alive at the server.
final class SessionPool {
    private let runtime: any NodeRuntime
    private var idle: [ServerSession] = []
    /// The servers' timeout; nil when they have no sessions.
    var timeoutMinutes: Int?

    init(runtime: any NodeRuntime) { self.runtime = runtime }

    func take() -> ServerSession {
        while let session = idle.popLast() { if !isExpiring(session) { return session } }
        return ServerSession(runtime: runtime)
    }

    func giveBack(_ session: ServerSession) {
        idle.removeAll { isExpiring($0) }
        if !session.isDirty, !isExpiring(session) { idle.append(session) }
    }

    /// Takes all ids, to end them at the server.
    func drain() -> [Document] {
        defer { idle = [] }
        return idle.map(\.lsid)
    }

    /// A session must not run out while an operation uses it: one minute is kept in hand.
    private func isExpiring(_ session: ServerSession) -> Bool {
        guard let timeoutMinutes else { return false }
        return runtime.now - session.lastUse > .seconds((timeoutMinutes - 1) * 60)
    }
}
