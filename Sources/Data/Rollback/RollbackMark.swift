import BSON
public import Core

/// The durable note that a rollback is under way, and where to: a member that stops in the middle of one goes on with
/// it when it starts again, before it reads anything else.
public struct RollbackMark: Equatable, Sendable {
    /// The common point: everything behind it goes.
    public let common: OpTime
    /// The rollback id that others know this rollback by.
    public let rollbackID: Int32
    /// When it began: what is kept is named by it, so that a rollback which begins again writes the same files.
    let began: WallTime
    /// What is lost has been kept, so undoing may begin.
    var isArchived = false

    init(common: OpTime, rollbackID: Int32, began: WallTime) {
        self.common = common
        self.rollbackID = rollbackID
        self.began = began
    }

    private init?(stored view: DocumentView) {
        guard let common = view["common"]?.asDocument.flatMap({ OpTime($0) }),
            let id = view["rollbackId"]?.asInteger.flatMap({ Int32(exactly: $0) }),
            let isArchived = view["archived"]?.asBool
        else { return nil }
        // Versions that kept no files did not note it.
        self.init(
            common: common, rollbackID: id, began: WallTime(milliseconds: view["began"]?.asDateTime ?? 0))
        self.isArchived = isArchived
    }
}

extension RollbackMark {
    private static let key: [UInt8] = [0]

    /// The mark that an earlier run has left; nil when no rollback was under way.
    static func load(_ versions: VersionStore) throws -> RollbackMark? {
        var mark: RollbackMark?
        try versions.forEachRow(DataTables.rollback) { _, value in
            mark = RollbackMark(stored: try storedDocument(value))
            if mark == nil { throw InvariantViolation("the mark of an unfinished rollback is not readable") }
        }
        return mark
    }

    func store(_ versions: VersionStore) throws {
        let document: Document = [
            "common": ["ts": .timestamp(common.timestamp), "t": .int64(common.term)],
            "rollbackId": .int32(rollbackID), "began": .dateTime(began.milliseconds), "archived": .bool(isArchived),
        ]
        try versions.step(at: nil) { step in
            try Self.key.withUnsafeBytes { key in
                try document.withView { try step.put(DataTables.rollback, .local, key: key, value: $0.bytes) }
            }
        }
    }

    static func clear(_ versions: VersionStore) throws {
        try versions.step(at: nil) { step in
            try key.withUnsafeBytes { try step.delete(DataTables.rollback, .local, key: $0) }
        }
    }
}
