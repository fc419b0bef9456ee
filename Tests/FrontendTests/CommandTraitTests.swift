import Frontend
import Testing

@Suite struct CommandTraitInstanceTests {
    @Test("every trait of a command has a bit of its own")
    func bits() {
        let traits: [CommandTraits] = [
            .adminOnly, .write, .read, .retryable, .memberOnly, .followerOnly, .handshake, .testOnly, .snapshotRead,
            .legacyQuery, .readConcern, .writeConcern, .stable,
        ]
        for (index, trait) in traits.enumerated() {
            #expect(traits[..<index].allSatisfy { $0.isDisjoint(with: trait) })
        }
    }
}
