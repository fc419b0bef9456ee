import Foundation
import Quorate
import Testing

/// What starting costs and stopping leaves behind.
@Suite(.timeLimit(.minutes(2)), .serialized) struct LifetimeTests {
    @Test("a set must have from one to seven voters, and begin with a member that can lead")
    func badSizes() async {
        for members in [0, 8, -1] {
            await #expect(throws: ReplicaSetError.self) { try await ReplicaSet("bad", members: members).start() }
        }
        await #expect(throws: ReplicaSetError.self) {
            try await ReplicaSet("bad") {
                Member.arbiter
                Member()
            }.start()
        }
    }

    @Test("a port that somebody listens on is reported, and nothing is left running")
    func portInUse() async throws {
        try await withSet(ReplicaSet("taken", members: 1).transport(.socket())) { set in
            let port = set.members[0].endpoint.port
            await #expect(throws: TransportError.self) {
                try await ReplicaSet("second", members: 1).transport(.socket(port: port)).start()
            }
            await expectNoThreads(named: "second-")
        }
    }

    @Test("a stopped set leaves no thread behind and gives its ports back")
    func stopEndsEverything() async throws {
        let set = try await ReplicaSet("ending").transport(.socket()).start()
        _ = try await set.client["shop"]["orders"].insert(["_id": 1], writeConcern: .majority)
        #expect(threads(named: "ending-").count == 4)
        let port = set.members[0].endpoint.port
        await set.stop()
        await expectNoThreads(named: "ending-")
        let again = try await ReplicaSet("again", members: 1).transport(.socket(port: port)).start()
        #expect(again.members[0].endpoint.port == port)
        await again.stop()
    }

    @Test("sets that are started and stopped many times do not use up the process's files")
    func filesAreGivenBack() async throws {
        let before = openFiles()
        for round in 0..<12 {
            let set = try await ReplicaSet("round\(round)").transport(.socket()).start()
            if round % 3 == 0 { try await set.primary.kill() }
            await set.stop()
        }
        // Other tests open and close files meanwhile; each round that leaked would have left some thirty.
        #expect(openFiles() - before < 200)
    }

    @Test("stopping twice, or after members were killed, does no harm")
    func stopTwice() async throws {
        let set = try await ReplicaSet("twice").start()
        await set.members[0].kill()
        await set.stop()
        await set.stop()
        await expectNoThreads(named: "twice-")
        await #expect(throws: (any Error).self) { try await set.client["shop"]["orders"].insert(["_id": 1]) }
    }

    /// A thread that has been joined is listed by the kernel until it is through with its end: a moment later.
    private func expectNoThreads(named prefix: String) async {
        let deadline = ContinuousClock.now + .seconds(10)
        while !threads(named: prefix).isEmpty, ContinuousClock.now < deadline { await Task.yield() }
        #expect(threads(named: prefix).isEmpty)
    }

    /// The names of this process's threads that begin so.
    private func threads(named prefix: String) -> [String] {
        entries("/proc/self/task").compactMap { task in
            // A thread may end while it is looked at.
            guard let name = try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8) else {
                return nil
            }
            return name.hasPrefix(prefix) ? name : nil
        }
    }

    private func openFiles() -> Int { entries("/proc/self/fd").count }

    private func entries(_ path: String) -> [String] {
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        #expect(!entries.isEmpty, "\(path) cannot be read")
        return entries
    }
}
