import BSON
import Core
import Synchronization

/// What one end of a connection sends to the other.
///
/// Unchecked: the bytes are handed over, the sender keeps no reference to them.
enum LoopbackEvent: @unchecked Sendable {
    /// The first on a connection: the way to the listener.
    case connect(LoopbackDoor, from: LoopbackEnd)
    case opened
    case bytes(ByteBuffer)
    case closed(CloseReason)
    /// From the network: the connection is broken on purpose.
    case reset
    /// From the network: what a blocked link kept back can go.
    case linkHealed
}

/// One end of a connection, as others see it: an address to post events to.
///
/// Unchecked: `connection` is touched on the loop of `mailbox` only, and cleared there, so that the last reference to
/// this object, wherever it is dropped, frees nothing that belongs to the loop.
final class LoopbackEnd: @unchecked Sendable {
    let id: UInt64
    let node: String
    let peerNode: String
    let mailbox: any LoopMailbox
    /// Bytes sent to this end that it has not taken yet.
    let untaken = Atomic<Int>(0)
    var connection: LoopbackConnection?

    init(id: UInt64, node: String, peerNode: String, mailbox: any LoopMailbox) {
        self.id = id
        self.node = node
        self.peerNode = peerNode
        self.mailbox = mailbox
    }

    /// From any thread.
    func post(_ event: LoopbackEvent) { mailbox.enqueue { [self] in arrive(event) } }

    /// On the end's own loop.
    func arrive(_ event: LoopbackEvent) {
        if case .connect(let door, let peer) = event {
            door.knock(from: peer, to: self)
        } else {
            connection?.arrive(event)
        }
    }
}

/// A listener, as other loops see it. Unchecked for the same reason as `LoopbackEnd`.
final class LoopbackDoor: @unchecked Sendable {
    let node: String
    let mailbox: any LoopMailbox
    /// Touched on the loop of `mailbox` only.
    var listener: LoopbackListener?

    init(node: String, mailbox: any LoopMailbox) {
        self.node = node
        self.mailbox = mailbox
    }

    /// On the listener's loop: somebody connects.
    func knock(from peer: LoopbackEnd, to end: LoopbackEnd) {
        if let listener {
            listener.admit(end, from: peer)
        } else {
            peer.post(.closed(.unreachable("nobody listens there any more")))
        }
    }
}
