internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// What initial syncs have still to fetch of this member's oplog. Each says with its requests from where on it needs
/// the entries; they are kept until it asks for later ones, its connection ends, its member leaves the set, or it has
/// been silent for too long. How much may be kept has a limit, too (`Oplog.pinnedBytesMax`).
final class OplogPins {
    private struct Pin {
        /// nil for a backup.
        let member: MemberID?
        let timestamp: Timestamp
        let timer: TimerToken
        weak var connection: ClientConnection?
        /// What is called when the connection ends.
        let closing: UInt64
    }

    private let runtime: any NodeRuntime
    private let oplog: Oplog
    /// By connection.
    private var pins: [UInt64: Pin] = [:]

    init(_ node: Node) {
        runtime = node.runtime
        oplog = node.data.oplog
    }

    var count: Int { pins.count }

    /// Keeps the entries from `timestamp` on for whom this connection belongs to.
    func keep(from timestamp: Timestamp, for connection: ClientConnection) {
        guard let peer = connection.peer, !connection.isClosed else { return }
        let member = peer.isBackup ? nil : peer.memberID
        let id = connection.id
        drop(id)
        let timer = runtime.schedule(after: Limits.oplogPinMax) { [weak self] in
            self?.runtime.probe("an initial sync's place in the oplog was given up")
            self?.release(id)
        }
        let closing = connection.onClose { [weak self] in self?.release(id) }
        pins[id] = Pin(member: member, timestamp: timestamp, timer: timer, connection: connection, closing: closing)
        update()
    }

    /// Keeps nothing for members that the configuration does not name.
    func dropStrangers(to config: ReplicaSetConfig) {
        for (id, pin) in pins.sorted(by: { $0.key < $1.key }) {
            if let member = pin.member, config.index(of: member) == nil { release(id) }
        }
    }

    private func release(_ id: UInt64) {
        drop(id)
        update()
    }

    private func drop(_ id: UInt64) {
        guard let pin = pins.removeValue(forKey: id) else { return }
        runtime.cancel(pin.timer)
        pin.connection?.forgetClose(pin.closing)
    }

    private func update() { oplog.pinOldest(pins.values.map(\.timestamp).min()) }
}
