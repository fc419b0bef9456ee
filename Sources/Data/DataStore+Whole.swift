internal import BSON
public import Core

/// What the shell asks about the whole store, and tells it.
extension DataStore {
    /// Whether anything but the server's own is stored here.
    public var hasUserData: Bool { catalog.collections.contains { !$0.namespace.isLocal } }

    /// The wall clock of that entry; nil when the oplog does not hold it.
    public func wall(of optime: OpTime) throws -> WallTime? {
        var wall: WallTime?
        _ = try oplog.entry(at: optime.timestamp) { bytes in
            let entry = DocumentView(base: bytes.baseAddress!)
            guard OpTime(entry) == optime else { return }
            wall = entry["wall"]?.asDateTime.map { WallTime(milliseconds: $0) }
        }
        return wall
    }

    /// The wall clock of the last entry of the oplog; 1970 when there is none.
    public var lastEntryWall: WallTime {
        guard let last = oplog.last else { return WallTime(milliseconds: 0) }
        var wall: Int64 = 0
        try? oplog.read(from: last.timestamp, inclusive: true, direction: .backward, limitEntries: 1, limitBytes: .max)
        { entry in
            if let base = entry.baseAddress { wall = DocumentView(base: base)["wall"]?.asDateTime ?? 0 }
            return false
        }
        return WallTime(milliseconds: wall)
    }

    /// Everything up to `optime` is committed by a majority: undo, kept versions and dropped data below it are given
    /// back.
    /// - Parameter reclaims: whether dropped data may be given back now, which writes, or with a later commit point.
    public func onCommitPoint(_ optime: OpTime, reclaims: Bool = true) throws {
        versions.setCommitPoint(optime)
        oplog.setCommitPoint(optime.timestamp)
        if reclaims { try catalog.onCommitPoint(optime) }
    }
}
