import Core

/// What becomes of clients.
extension RandomFaults {
    /// A client comes, writes, and dies in the middle of it.
    mutating func visit() -> Bool {
        let lifetime = milliseconds(5..<1500)
        load.visit(for: lifetime, thenDying: generator.nextBool(probability: 0.3) ? .halfOpen : .reset)
        return true
    }
}
