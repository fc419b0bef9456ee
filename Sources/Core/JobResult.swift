/// What a job on a helper thread hands back to the loop. Not a plug point.
public final class JobResult<Success, Failure: Error>: @unchecked Sendable {
    // Written by the job, read when it has ended.
    private var outcome: Result<Success, Failure>?

    /// The result of a job that is still to run.
    public init() {}

    /// Called by the job: runs `work` and keeps what it comes to.
    public func run(_ work: () throws(Failure) -> Success) {
        do { outcome = .success(try work()) } catch { outcome = .failure(error) }
    }

    /// To be called when the job has ended.
    public func take() -> Result<Success, Failure> {
        guard let outcome else { preconditionFailure("a job ended and did not run") }
        return outcome
    }
}

extension NodeRuntime {
    /// Runs what blocks on a helper thread, and returns when it has ended.
    public func onHelper<Answer>(_ work: @escaping @Sendable () throws -> Answer) async throws -> Answer {
        let result = JobResult<Answer, any Error>()
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            offload {
                result.run(work)
            } completion: {
                continuation.resume()
            }
        }
        return try result.take().get()
    }
}
