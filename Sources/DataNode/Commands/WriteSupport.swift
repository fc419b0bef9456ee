internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication
internal import Wire

/// What all commands that write have in common.
extension CommandContext {
    /// - Throws: `NotWritablePrimary` and its kin.
    func checkWritable() throws(ServerError) {
        guard let database = arguments.database else { return }
        try node.role.checkWritable(database)
    }

    /// What the data layer has to know of this write. Made anew after every suspension, the start of a task included:
    /// the member may have lost its office, and a write in a term that another member leads would be taken for its.
    func writeContext() throws -> WriteContext {
        try checkWritable()
        let role = node.role
        let wall = runtime.wallClock
        let isLocal = arguments.database.map { KeyView($0) == "local" } ?? false
        let isReplicated = role.isReplicated && !isLocal
        guard arguments.transactionNumber != nil || arguments.given.contains(registered.bypassMarks) else {
            return WriteContext(term: role.term, wall: wall, isReplicated: isReplicated)
        }
        var context = WriteContext(term: role.term, wall: wall, isReplicated: isReplicated)
        try add(to: &context)
        return context
    }

    /// Adds what most writes do not have.
    private func add(to context: inout WriteContext) throws {
        if body["bypassDocumentValidation"]?.isTruthy == true { context.bypassesValidation = true }
        if let keeps = body["bypassEmptyTsReplacement"] {
            guard keeps.type == .bool || keeps.type.isNumber || keeps.type == .null else {
                throw wrongType("\(command.name).bypassEmptyTsReplacement", keeps, "bool")
            }
            context.keepsEmptyTimestamps = keeps.isTruthy
        }
        if let number = arguments.transactionNumber, context.isReplicated, let session = body["lsid"]?.asDocument {
            context.session = try node.data.sessions.record(session)
            context.transactionNumber = number
            context.beforeStatement = node.retryableWriteCheck(connection)
        }
    }

    /// The write concern of this command: its own, or the default.
    /// - Throws: `FailedToParse` for one that cannot be understood; `UnsatisfiableWriteConcern` on a standalone.
    func writeConcern() throws(ServerError) -> WriteConcern {
        guard let view = arguments.writeConcern, !view.isEmpty else { return node.role.defaultWriteConcern }
        var concern = try WriteConcern(view)
        // Who says nothing of `w` leaves it to the set.
        if view["w"] == nil { concern.w = node.role.defaultWriteConcern.w }
        if !node.role.isReplicated {
            switch concern.w {
            case .number(let count) where count > 1:
                throw ServerError(.badValue, "cannot use 'w' > 1 when a host is not replicated")
            case .mode(let name):
                throw ServerError(
                    .badValue, "cannot use non-majority 'w' mode \(name) when a host is not a member of a replica set")
            default: break
            }
        }
        return concern
    }

    /// Ends a command that has written: at once, or when its write concern is met.
    /// - Parameter optime: the last optime it wrote, nil when it changed nothing.
    func finishWrite(_ optime: OpTime?, _ concern: WriteConcern) -> CommandOutcome {
        lastWrite = optime
        awaited = awaitedWrite(optime, concern)
        return awaited == nil ? .done : .held
    }

    /// What the reply of a command that has written waits for; nil: it need not.
    func awaitedWrite(_ optime: OpTime?, _ concern: WriteConcern) -> (optime: OpTime, concern: WriteConcern)? {
        let isLocal = arguments.database.map { KeyView($0) == "local" } ?? false
        let isLogged = node.role.isReplicated && !isLocal
        if !isLogged, concern.journal == true, !node.data.durability.isCurrent { return (.null, concern) }
        guard node.role.isReplicated else { return nil }
        if case .number(let count) = concern.w, count <= 1, concern.journal != true { return nil }
        // A write that changed nothing waits for what the client may have seen.
        let target = optime ?? node.lastOpTime
        return target.isNull ? nil : (target, concern)
    }

    /// Runs one step that creates or changes something in the catalog and ends the command by its write concern.
    func catalogWrite(_ body: (WriteContext) throws -> Void) throws -> CommandOutcome {
        try checkWritable()
        let concern = try writeConcern()
        let before = node.lastOpTime
        try body(try writeContext())
        let after = node.lastOpTime
        return finishWrite(after == before ? nil : after, concern)
    }
}

extension CommandContext {
    /// Whether a statement of a retryable write was executed by an earlier try.
    func wasExecuted(_ statement: Int32, _ write: WriteContext) throws -> Bool {
        try node.data.wasExecuted(statement, write)
    }
}

/// The place of a statement in a retryable write: `stmtId` of the command, or its index.
extension CommandContext {
    func statementID(_ index: Int) -> Int32 {
        if let list = statementIDs, index < list.count { return list[index] }
        return (arguments.statementID ?? 0) &+ Int32(truncatingIfNeeded: index)
    }

    /// The numbers of the statements, where they are given one by one: a router's, of which others went elsewhere.
    var statementIDs: [Int32]? {
        guard let list = arguments.statementIDs else { return nil }
        if let known = readStatementIDs { return known }
        let first = arguments.statementID ?? 0
        let ids = list.enumerated().map { index, element in
            element.value.asInteger.flatMap { Int32(exactly: $0) } ?? first &+ Int32(truncatingIfNeeded: index)
        }
        readStatementIDs = ids
        return ids
    }
}
