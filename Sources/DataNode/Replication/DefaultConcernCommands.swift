internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// `setDefaultRWConcern` and `getDefaultRWConcern`: the concerns of those who name none. Kept as a document of
/// `config.settings`, which is replicated as all data are, and followed from there by every member.
enum DefaultConcernCommands {
    static let namespace = Namespace("config", "settings")
    static let documentID = "ReadWriteConcernDefaults"

    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "setDefaultRWConcern", [.adminOnly, .write], .setDefaultRWConcern,
                help: "sets the concerns of those who name none", run: set)
        )
        table.add(
            Command(
                "getDefaultRWConcern", [.adminOnly], .getDefaultRWConcern, help: "the concerns of those who name none"
            ) { context in
                guard let role = context.node.replication else {
                    throw notReplicated("getDefaultRWConcern")
                }
                describe(role, to: context.writer)
                if context.body["inMemory"]?.isTruthy == true { context.writer.append("inMemory", bool: true) }
                return .done
            })
    }

    private static func notReplicated(_ name: StaticString) -> ServerError {
        ServerError(.illegalOperation, "'\(name)' is not supported on standalone nodes.")
    }

    private static func describe(_ role: ReplicaSetRole, to writer: DocumentWriter) {
        let defaults = role.defaults
        writer.document("defaultReadConcern") {
            $0.append("level", string: (defaults.readConcernLevel ?? .local).rawValue)
        }
        writer.document("defaultWriteConcern") { role.defaultWriteConcern.encode(to: $0) }
        if let updated = defaults.updatedAt { writer.append("updateOpTime", timestamp: updated) }
        if let updated = defaults.updatedAtWall { writer.append("updateWallClockTime", dateTime: updated) }
        let source: String
        switch role.defaultWriteConcern.provenance {
        case .customDefault: source = "global"
        case .getLastErrorDefaults: source = "getLastErrorDefaults"
        default: source = "implicit"
        }
        writer.append("defaultWriteConcernSource", string: source)
        writer.append("defaultReadConcernSource", string: defaults.readConcernLevel == nil ? "implicit" : "global")
        writer.append("localUpdateWallClockTime", dateTime: defaults.loadedAtWall)
    }

    private static func set(_ context: CommandContext) throws -> CommandOutcome {
        guard let role = context.node.replication else { throw notReplicated("setDefaultRWConcern") }
        try context.checkWritable()
        var next = role.defaults
        let level = context.body["defaultReadConcern"]
        let defaultConcern = context.body["defaultWriteConcern"]
        if let level { next.readConcernLevel = try readLevel(level) }
        if let defaultConcern {
            next.writeConcern = try writeConcern(defaultConcern, role, current: next.writeConcern)
        }
        guard level != nil || defaultConcern != nil else {
            throw ServerError(
                .badValue,
                "At least one of the \"defaultReadConcern\" or \"defaultWriteConcern\" fields must be present")
        }
        next.updatedAt = max(context.node.data.clock.time, context.node.lastOpTime.timestamp)
        next.updatedAtWall = context.runtime.wallClock.milliseconds
        // Under a concern that a majority agrees to, whatever the old default was.
        let concern = context.arguments.writeConcern == nil ? .majority : try context.writeConcern()
        let before = context.node.lastOpTime
        try next.document.withView { try context.node.data.putDocument($0, in: namespace, context.writeContext()) }
        role.refreshDefaults()
        describe(role, to: context.writer)
        let after = context.node.lastOpTime
        return context.finishWrite(after == before ? nil : after, concern)
    }

    /// An empty document takes the default back.
    private static func readLevel(_ value: ValueView) throws(ServerError) -> ReadConcern.Level? {
        guard let view = value.asDocument else {
            throw wrongType("setDefaultRWConcern.defaultReadConcern", value, "object")
        }
        if view.isEmpty { return nil }
        let concern = try ReadConcern(view)
        guard view["level"] != nil, concern.afterClusterTime == nil, concern.atClusterTime == nil else {
            throw ServerError(.badValue, "The default read concern must be a 'level' and nothing else")
        }
        switch concern.level {
        case .local, .available, .majority: return concern.level
        case .linearizable, .snapshot:
            throw ServerError(
                .badValue, "level: '\(concern.level.rawValue)' is not suitable for the default read concern")
        }
    }

    private static func writeConcern(
        _ value: ValueView, _ role: ReplicaSetRole, current: WriteConcern?
    ) throws(ServerError) -> WriteConcern? {
        guard let view = value.asDocument else {
            throw wrongType("setDefaultRWConcern.defaultWriteConcern", value, "object")
        }
        if view.isEmpty {
            guard current == nil else {
                throw ServerError(
                    .illegalOperation, "The global default write concern cannot be unset once it is set.")
            }
            return nil
        }
        let concern = try WriteConcern(view)
        guard view["w"] != nil else {
            throw ServerError(.badValue, "The default write concern must name its 'w'")
        }
        if let obstacle = role.member.obstacle(toDefault: concern) { throw obstacle }
        return concern
    }
}

/// What the document of the defaults says.
struct StoredDefaults: Equatable {
    var readConcernLevel: ReadConcern.Level?
    var writeConcern: WriteConcern?
    var updatedAt: Timestamp?
    var updatedAtWall: Int64?
    /// When this member has read it.
    var loadedAtWall: Int64 = 0

    init() {}

    /// What cannot be read counts as not set: a member must not stop for a document that somebody has edited.
    init(_ view: DocumentView, loadedAtWall: Int64) {
        self.loadedAtWall = loadedAtWall
        readConcernLevel = view["defaultReadConcern"]?.asDocument?["level"]?.asString.flatMap(ReadConcern.Level.init)
        writeConcern = view["defaultWriteConcern"]?.asDocument.flatMap { try? WriteConcern($0) }
        updatedAt = view["updateOpTime"]?.asTimestamp
        updatedAtWall = view["updateWallClockTime"]?.asDateTime
    }

    var document: Document {
        Document { writer in
            writer.append("_id", string: DefaultConcernCommands.documentID)
            if let readConcernLevel {
                writer.document("defaultReadConcern") { $0.append("level", string: readConcernLevel.rawValue) }
            }
            if let writeConcern { writer.document("defaultWriteConcern") { writeConcern.encode(to: $0) } }
            if let updatedAt { writer.append("updateOpTime", timestamp: updatedAt) }
            if let updatedAtWall { writer.append("updateWallClockTime", dateTime: updatedAtWall) }
        }
    }
}

extension ReplicaSetRole {
    /// Reads what the defaults are, where they may have changed: once in a turn of the loop that wrote something.
    func refreshDefaults() {
        let wall = runtime.wallClock.milliseconds
        guard let collection = node.data.catalog.find(DefaultConcernCommands.namespace) else {
            return take(StoredDefaults())
        }
        let id: Document = ["_id": .string(DefaultConcernCommands.documentID)]
        do {
            let found = try id.withView { view in
                try node.data.findOneByID(collection, view["_id"]!).map { StoredDefaults($0, loadedAtWall: wall) }
            }
            take(found ?? StoredDefaults())
        } catch {
            runtime.log.log(.warning, "replication", "the default concerns cannot be read: \(error)")
        }
    }

    private func take(_ next: StoredDefaults) {
        guard
            next.updatedAt != defaults.updatedAt || next.writeConcern != defaults.writeConcern
                || next.readConcernLevel != defaults.readConcernLevel
        else { return }
        setDefaults(next)
        drive { member, now in member.onDefaultWriteConcern(next.writeConcern, now: now) }
    }
}
