/// Lets one task at a time through, in the order in which they came: what changes the cluster's catalog reads before it
/// writes, and waits in between.
final class SerialGate {
    private var isTaken = false
    private var waiting: [UnsafeContinuation<Void, Never>] = []

    func run<Answer>(_ body: () async throws -> Answer) async throws -> Answer {
        if isTaken { await withUnsafeContinuation { waiting.append($0) } }
        isTaken = true
        defer {
            if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
        }
        return try await body()
    }
}
