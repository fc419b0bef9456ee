import BSON
import Core
import Frontend
import Sharding
import Wire

/// A cursor of one member that a client of the router goes on with as it is: the member's batches are passed on.
final class RemoteCursor: CursorContents {
    /// The member's number for it.
    let id: Int64
    let set: RemoteSet
    let endpoint: Endpoint
    private unowned let router: Router
    private var isOver = false

    init(_ id: Int64, of set: RemoteSet, _ endpoint: Endpoint, _ router: Router) {
        self.id = id
        self.set = set
        self.endpoint = endpoint
        self.router = router
    }

    /// The member has closed it.
    func ended() { isOver = true }

    /// Closes the cursor at its member; nobody waits for the answer, and the member's own time limit makes up for one
    /// that gets lost.
    func close() {
        guard !isOver else { return }
        isOver = true
        set.killCursor(id, at: endpoint)
    }
}

extension RemoteSet {
    func killCursor(_ id: Int64, at endpoint: Endpoint) {
        let request = RemoteRequest(access: .read) { output, number in
            let message = MessageWriter(message: output, requestID: number, responseTo: 0)
            message.document.append("killCursors", string: "$cmd.aggregate")
            message.document.array("cursors") { $0.append(int64: id) }
            message.document.append("$db", string: "admin")
            message.finish()
        }
        member(endpoint).send(request) { _ in }
    }
}

extension RouterContext {
    /// Keeps a cursor that has more to give; the client goes on with the number that is returned.
    func keepCursor(_ contents: any CursorContents, awaitsData: Bool = false) throws(ServerError) -> Int64 {
        let name = arguments.argument.asString ?? "$cmd.aggregate"
        let entry = try frontend.cursors.add(
            contents, namespace: "\(database).\(cursorCollection ?? name)", session: arguments.sessionID,
            isTailable: body["tailable"]?.isTruthy ?? false, awaitsData: awaitsData)
        entry.staysIdle = body["noCursorTimeout"]?.isTruthy ?? false
        return entry.id
    }

    /// The collection that a cursor is named after, where that is not the command's first field.
    private var cursorCollection: String? {
        switch KeyView(command.name) {
        case "listCollections": "$cmd.listCollections"
        case "bulkWrite": "$cmd.bulkWrite"
        default: nil
        }
    }
}
