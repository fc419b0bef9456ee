import Core

/// The tables that every member has. Tables of collections and indexes are numbered from `firstOfCollections`.
enum DataTables {
    /// One record a replicated collection, with its indexes. Replicated: a rollback undoes it.
    static let catalog = TableID(rawValue: 16)
    /// One record a collection of the `local` database.
    static let localCatalog = TableID(rawValue: 17)
    /// One record a session, and the outcomes that do not fit it (`SessionRecords`). Replicated.
    static let sessions = TableID(rawValue: 18)
    /// Tables whose drop is not yet majority-committed, by optime. Local: see `Catalog.pendingDrops`.
    static let pendingDrops = TableID(rawValue: 19)
    /// The lowest table number that was never given out. Local: a rollback does not bring numbers back.
    static let numbers = TableID(rawValue: 20)
    /// The mark of a rollback that is under way (`RollbackMark`). Local.
    static let rollback = TableID(rawValue: 21)
    /// Entries of the source's oplog that an initial sync holds (`InitialSyncBuffer`). Local.
    static let initialSyncBuffer = TableID(rawValue: 22)
    /// The mark of an initial sync that is under way. Local.
    static let initialSync = TableID(rawValue: 23)
    /// The small ones, which engines larger than memory keep there: definitions are changed, and members start, stop
    /// and are elected, in steps that cannot wait.
    static let resident = [catalog, localCatalog, pendingDrops, numbers, rollback, initialSync]
    /// The first of the temporary tables, which go up to those of collections. Local.
    static let firstTemporary: UInt32 = 128
    static let firstOfCollections: UInt32 = 1024
}
