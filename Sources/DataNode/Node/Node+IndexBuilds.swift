internal import Core
internal import Data
internal import Frontend

extension Node {
    /// Goes on with index builds that an earlier primary has begun: a new primary finishes them, or aborts them.
    func resumeIndexBuilds() {
        for build in data.indexBuilds {
            runtime.spawn("index build") { [self] in await finish(build) }
        }
    }

    private func finish(_ build: IndexBuild) async {
        defer { indexBuildEnded.fire() }
        do {
            // Whoever is primary next finishes it.
            try await inWritingSlices { isPrimary ? try build.step(until: $0).ended : () }
            await awaitUnlock()
            guard isPrimary else { return }
            try data.commitIndexBuild(build, replicatedWriteContext())
        } catch let error as ServerError {
            guard isPrimary else { return }
            try? data.abortIndexBuild(build, error.message, replicatedWriteContext())
        } catch {
            fail(error)
        }
    }

    private var isPrimary: Bool { replication?.acceptsWrites ?? false }

    private func replicatedWriteContext() -> WriteContext {
        WriteContext(term: role.term, wall: runtime.wallClock, isReplicated: true)
    }
}
