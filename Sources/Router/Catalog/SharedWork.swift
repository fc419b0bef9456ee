import Core

/// Work that many may want at the same time and that is done once: whoever comes while it is under way gets the same
/// result.
final class SharedWork {
    private final class UnderWay {
        var result: Result<Any, ServerError>?
        var waiting: [UnsafeContinuation<Void, Never>] = []
    }

    private var underWay: [String: UnderWay] = [:]

    func run<Answer>(
        _ name: String, _ body: () async throws(ServerError) -> Answer
    ) async throws(ServerError) -> Answer {
        if let other = underWay[name] {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                other.waiting.append(continuation)
            }
            if let answer = try other.result?.get() as? Answer { return answer }
            throw ServerError(.internalError, "work called '\(name)' has two kinds of results")
        }
        let mine = UnderWay()
        underWay[name] = mine
        let result: Result<Answer, ServerError>
        do throws(ServerError) { result = .success(try await body()) } catch { result = .failure(error) }
        underWay[name] = nil
        mine.result = result.map { $0 as Any }
        for waiter in mine.waiting { waiter.resume() }
        return try result.get()
    }
}
