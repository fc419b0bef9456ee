import BSON
import Core
import Sharding
import Testing

/// Versions of placement: compared within one incarnation, read without traps.
@Suite struct PlacementVersionTests {
    private let old = Epoch(Timestamp(seconds: 10, increment: 1))
    private let new = Epoch(Timestamp(seconds: 20, increment: 1))

    @Test("versions of one incarnation are ordered by moves; splits do not matter")
    func relations() {
        let two = PlacementVersion(old, major: 2, minor: 0)
        #expect(two.relation(to: PlacementVersion(old, major: 2, minor: 7)) == .agrees)
        #expect(two.relation(to: PlacementVersion(old, major: 3, minor: 0)) == .older)
        #expect(two.relation(to: .none(old)) == .newer)
    }

    @Test("a collection that was dropped and made again has no version that looks like an old one")
    func incarnations() {
        let before = PlacementVersion(old, major: 9, minor: 9)
        let after = PlacementVersion(new, major: 1, minor: 0)
        #expect(before.relation(to: after) == .earlierEpoch)
        #expect(after.relation(to: before) == .laterEpoch)
        #expect(PlacementVersion(new, major: 9, minor: 9) != before)
        #expect(before.relation(to: .unsharded) == .otherKind)
        #expect(PlacementVersion.unsharded.relation(to: .none(old)) == .otherKind)
        #expect(PlacementVersion.unsharded.relation(to: .unsharded) == .agrees)
        #expect(!after.isBehind(before) && !before.isBehind(after))
    }

    @Test("a move begins a major, a split a minor, and neither runs over")
    func next() throws {
        let version = PlacementVersion(old, major: 2, minor: 5)
        #expect(try version.afterMove() == PlacementVersion(old, major: 3, minor: 0))
        #expect(try version.afterSplit() == PlacementVersion(old, major: 2, minor: 6))
        #expect(try version.afterSplit().isBehind(version))
        let last = PlacementVersion(old, major: .max, minor: .max)
        #expect(throws: ServerError.self) { try last.afterMove() }
        #expect(throws: ServerError.self) { try last.afterSplit() }
        #expect(throws: ServerError.self) { try PlacementVersion.unsharded.afterMove() }
        #expect(throws: ServerError.self) { try PlacementVersion.unsharded.afterSplit() }
    }

    @Test("versions are read as they were written, and nothing else is read as one")
    func coding() throws {
        for version in [PlacementVersion(old, major: 3, minor: .max), .none(new), .unsharded] {
            #expect(try version.document.withView { try PlacementVersion($0) } == version)
        }
        let database = DatabaseVersion(old, lastMod: 7)
        #expect(try database.document.withView { try DatabaseVersion($0) } == database)
        #expect(database.relation(to: DatabaseVersion(old, lastMod: 8)) == .older)
        let bad: [Document] = [
            [:], ["t": 1, "v": 2], ["t": .timestamp(old.timestamp)],
            ["t": .timestamp(.zero), "v": .timestamp(old.timestamp)], ["timestamp": .timestamp(.zero), "lastMod": 1],
            ["timestamp": .timestamp(old.timestamp), "lastMod": -1],
            ["timestamp": .timestamp(old.timestamp), "lastMod": .double(.infinity)],
        ]
        for document in bad {
            #expect(throws: ServerError.self) { try document.withView { try PlacementVersion($0) } }
            #expect(throws: ServerError.self) { try document.withView { try DatabaseVersion($0) } }
        }
    }
}
