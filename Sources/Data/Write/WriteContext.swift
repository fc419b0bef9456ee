import BSON
public import Core
public import Query

/// What a write knows beside its statement: who it is for and in which term.
///
/// Made for one slice of an operation; after every suspension the caller makes it anew, because the term may have
/// changed.
public struct WriteContext {
    /// The term that the member is primary in; ignored when the write is not replicated.
    public var term: Int64
    /// Wall clock time: the second of the optime, and `wall` of the entry.
    public var wall: WallTime
    /// Whether the write goes to the oplog. A standalone and the `local` database do without.
    public var isReplicated: Bool
    /// The set itself needs the entry, to commit what fills the oplog: it is written to a full one, too.
    public var isNeededBySet = false
    /// The write comes from a chunk migration; its entries say so.
    public var isFromMigration = false
    /// Whether the statement is for all documents that match.
    public var isMulti = false
    /// Whether documents may be written that the collection's validator refuses.
    public var bypassesValidation = false
    /// The validation of the operation's documents, for an operation that comes back when it is interrupted.
    public var validation: Validation?
    /// Whether empty timestamps stay as they are in inserts and replacements (`bypassEmptyTsReplacement`).
    public var keepsEmptyTimestamps = false
    /// The session and transaction number of a retryable write.
    public var session: SessionRecord?
    /// The transaction number of this command in `session`.
    public var transactionNumber: Int64 = 0
    /// Called when a statement of a retryable write is about to be committed; what it throws undoes the statement.
    public var beforeStatement: (() throws -> Void)?
    /// `let` variables and `$$NOW`.
    public var query: QueryContext

    public init(term: Int64, wall: WallTime, isReplicated: Bool, query: QueryContext? = nil) {
        self.term = term
        self.wall = wall
        self.isReplicated = isReplicated
        self.query = query ?? QueryContext(nowMillis: wall.milliseconds)
    }
}

/// The place of one document's write in a retryable command; nothing for a plain write.
struct Statement {
    let session: SessionRecord
    let transactionNumber: Int64
    let id: Int32
    let beforeCommit: (() throws -> Void)?

    init?(_ context: WriteContext, id: Int32) {
        guard let session = context.session else { return nil }
        self.session = session
        transactionNumber = context.transactionNumber
        beforeCommit = context.beforeStatement
        self.id = id
    }
}
