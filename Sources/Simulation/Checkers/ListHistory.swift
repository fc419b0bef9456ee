import BSON
import Core

/// What clients did to documents that hold a list each, and what they saw: appends of numbers that are never used
/// twice, and reads of whole lists.
///
/// A list tells the order of its writes by itself, so every promise about reads is a comparison with the list that is
/// there in the end (Elle's list-append, Kingsbury and Alvaro 2020). Instants are ticks of one counter.
struct ListHistory {
    typealias Key = Int

    enum Concern: String, Sendable { case local, majority, snapshot, linearizable }

    struct Append {
        let value: Int64
        let key: Key
        let session: Int?
        let invoked: Int
        /// When the client was told that a majority has it; nil when it never was.
        var acknowledged: Int?
    }

    struct Read {
        let key: Key
        let concern: Concern
        let session: Int?
        let invoked: Int
        let answered: Int
        let list: [Int64]
        /// Where a snapshot was taken.
        var time: Timestamp?
    }

    private(set) var appends: [Append] = []
    private(set) var reads: [Read] = []
    private var tick = 0

    mutating func now() -> Int {
        tick += 1
        return tick
    }

    /// Returns the append's place, for `acknowledge`.
    mutating func invoke(_ value: Int64, key: Key, session: Int?) -> Int {
        appends.append(Append(value: value, key: key, session: session, invoked: now()))
        return appends.count - 1
    }

    mutating func acknowledge(_ place: Int) { appends[place].acknowledged = now() }

    mutating func answer(
        key: Key, _ concern: Concern, session: Int?, invoked: Int, list: [Int64], time: Timestamp? = nil
    ) {
        reads.append(
            Read(
                key: key, concern: concern, session: session, invoked: invoked, answered: now(), list: list, time: time)
        )
    }
}
