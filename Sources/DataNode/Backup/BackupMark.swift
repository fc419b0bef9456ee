internal import BSON
internal import Core
internal import Data

/// What makes data a backup and not a member's: a document in `local`, from the beginning of the copy until a new set
/// is made of it. Without identity, votes and configuration the data could otherwise be taken for a member that has
/// lost them.
struct BackupMark {
    let setName: String
    let source: String
    /// The last entry that the data hold; null while they are not whole.
    let optime: OpTime
    let takenAt: WallTime

    private static let namespace = Namespace("local", "replset.backup")

    var isWhole: Bool { !optime.isNull }

    func store(_ data: DataStore) throws {
        try data.putLocal(
            Self.namespace,
            Document { writer in
                writer.append("_id", string: "backup")
                writer.append("set", string: setName)
                writer.append("source", string: source)
                writer.append("optime", optime)
                writer.append("takenAt", dateTime: takenAt.milliseconds)
            })
    }

    static func load(_ data: DataStore) throws -> BackupMark? {
        guard let stored = try data.getLocal(namespace) else { return nil }
        guard let setName = stored["set"]?.asString, let source = stored["source"]?.asString,
            let optime = stored["optime"]?.asDocument?.withView({ OpTime($0) }),
            case .dateTime(let takenAt)? = stored["takenAt"]
        else { throw InvariantViolation("the mark of a backup is not readable") }
        return BackupMark(
            setName: setName, source: source, optime: optime, takenAt: WallTime(milliseconds: takenAt))
    }

    /// The data are a member's from here on.
    static func remove(_ data: DataStore) throws {
        try data.removeLocal(namespace)
    }

    /// Whether a member may be started with the data.
    /// - Parameter startsNewSet: as it was told.
    /// - Throws: `StorageDamage` saying why not.
    static func check(_ data: DataStore, startsNewSet: Bool, owner: String?) throws {
        // With a configuration they are a member's, which was about to remove the mark.
        if owner == nil, let mark = try load(data) {
            let date = DateText.format(mark.takenAt.milliseconds) ?? "?"
            guard mark.isWhole else {
                throw StorageDamage(
                    "the data are a part of a backup of the replica set '\(mark.setName)' that was begun at \(date) "
                        + "and did not come to its end: take another one")
            }
            guard startsNewSet else {
                throw StorageDamage(
                    "the data are a backup of the replica set '\(mark.setName)', taken from \(mark.source) at \(date), "
                        + "and no member's: start them with --new-set to make a new replica set of them")
            }
        } else if startsNewSet, let owner {
            throw StorageDamage(
                "the data are those of a member of the replica set '\(owner)' already: start it without --new-set")
        }
    }
}
