import Core
import Testing

@testable import Simulation

struct SimulatedRuntimeTests {
    @Test("timers fire at their time, in the order of deadline and of setting")
    func timers() throws {
        let world = SimulatedWorld(seed: 1)
        let node = world.addNode("a")
        var fired: [String] = []
        node.schedule(after: .seconds(2)) { fired.append("2 \(node.now.nanoseconds)") }
        node.schedule(after: .seconds(1)) { fired.append("1a") }
        node.schedule(after: .seconds(1)) { fired.append("1b") }
        let cancelled = node.schedule(after: .seconds(1)) { fired.append("cancelled") }
        node.schedule(after: .seconds(1)) { fired.append("1c") }
        node.cancel(cancelled)
        try world.run(until: .zero + .milliseconds(1500))
        #expect(fired == ["1a", "1b", "1c"])
        #expect(world.now == .zero + .milliseconds(1500))
        try world.run(for: .seconds(1))
        #expect(fired.last == "2 2000000000")
    }

    @Test("a timer can be cancelled by one of the same instant, and its slot is used again safely")
    func cancelAtInstant() throws {
        let world = SimulatedWorld(seed: 1)
        let node = world.addNode("a")
        var fired: [Int] = []
        var second: TimerToken?
        node.schedule(after: .seconds(1)) {
            fired.append(1)
            if let second { node.cancel(second) }
        }
        second = node.schedule(after: .seconds(1)) { fired.append(2) }
        try world.run(for: .seconds(1))
        let third = node.schedule(after: .seconds(1)) { fired.append(3) }
        if let second { node.cancel(second) }
        try world.run(for: .seconds(2))
        node.cancel(third)
        #expect(fired == [1, 3])
    }

    @Test("timers agree with a sorted list under random setting and cancelling")
    func timersAgainstList() throws {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<20 {
            let world = SimulatedWorld(seed: 1)
            let node = world.addNode("a")
            var expected: [(at: Int64, number: Int)] = []
            var tokens: [(TimerToken, Int)] = []
            var fired: [Int] = []
            for number in 0..<600 {
                let at = Int64(random.next(below: 300)) + 1
                tokens.append((node.schedule(at: Instant(nanoseconds: at)) { fired.append(number) }, number))
                expected.append((at, number))
                if random.next(below: 10) < 7, let pick = tokens.indices.randomElement(using: &random) {
                    let (token, victim) = tokens.remove(at: pick)
                    node.cancel(token)
                    expected.removeAll { $0.number == victim }
                }
            }
            try world.run(for: .seconds(1))
            #expect(fired == expected.sorted { ($0.at, $0.number) < ($1.at, $1.number) }.map(\.number))
        }
    }

    @Test("a crashed node's timers, jobs and tasks never run again; its next life draws other numbers")
    func crash() throws {
        let world = SimulatedWorld(seed: 5)
        var lives: [UInt64] = []
        var ticks = 0
        world.addNode("a") { runtime in
            lives.append(runtime.randomNumber())
            runtime.spawn("tick") {
                while true {
                    await runtime.sleep(for: .seconds(1))
                    ticks += 1
                }
            }
        }
        try world.run(for: .milliseconds(2500))
        #expect(ticks == 2)
        world.crash("a")
        try world.run(for: .seconds(10))
        #expect(ticks == 2)
        world.restart("a")
        try world.run(for: .milliseconds(1500))
        #expect(ticks == 3)
        #expect(Set(lives).count == 2)
        #expect(world.node("a")?.run == 1)
    }

    @Test("a paused node's events wait and then run in order")
    func pause() throws {
        let world = SimulatedWorld(seed: 5)
        let node = world.addNode("a")
        var fired: [Int] = []
        for second in 1...4 { node.schedule(after: .seconds(second)) { fired.append(second) } }
        try world.run(for: .milliseconds(1500))
        node.pause()
        try world.run(for: .seconds(2))
        #expect(fired == [1])
        node.resume()
        try world.run(for: .zero)
        #expect(fired == [1, 2, 3])
        try world.run(for: .seconds(1))
        #expect(fired == [1, 2, 3, 4])
    }

    @Test("the wall clock follows virtual time with its skew and drift")
    func wallClock() throws {
        let world = SimulatedWorld(seed: 5)
        let node = world.addNode("a")
        let start = node.wallClock.milliseconds
        try world.run(for: .seconds(10))
        #expect(node.wallClock.milliseconds == start + 10_000)
        node.jumpWallClock(by: .seconds(-4))
        #expect(node.wallClock.milliseconds == start + 6000)
        node.driftWallClock(partsPerMillion: 1000)
        try world.run(for: .seconds(100))
        #expect(node.wallClock.milliseconds == start + 106_100)
    }

    @Test("offloaded work completes after a delay of virtual time")
    func offload() throws {
        let world = SimulatedWorld(seed: 5)
        let node = world.addNode("a")
        var completed: Instant?
        node.offload({}, completion: { completed = node.now })
        #expect(completed == nil)
        try world.run(for: .seconds(1))
        let at = try #require(completed)
        #expect(at >= .zero + .microseconds(50) && at <= .zero + .milliseconds(2))
    }

    @Test("a task that leaves the loop ends the run with its name")
    func leak() throws {
        let world = SimulatedWorld(seed: 5)
        let node = world.addNode("a")
        node.spawn("leaker") {
            await node.sleep(for: .seconds(1))
            Task.detached {}
        }
        let error = #expect(throws: SimulationError.self) { try world.run(for: .seconds(2)) }
        #expect(error?.kind == .leak)
        #expect(error?.message.contains("'leaker' of a") == true, "\(error?.message ?? "")")
    }

    @Test("a condition that does not come true is explained with the tasks that wait")
    func hang() throws {
        let world = SimulatedWorld(seed: 5)
        let node = world.addNode("a")
        node.spawn("waits for a reply") { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
        let error = #expect(throws: SimulationError.self) {
            try world.run(until: { false }, atMost: .seconds(1), "the reply")
        }
        #expect(error?.kind == .conditionNotReached)
        #expect(error?.message.contains("the reply did not come true: nothing is left to run") == true)
        #expect(error?.message.contains("a (run 0): running, waiting: waits for a reply") == true)
    }

    @Test("events that never let time move on end the run")
    func livelock() throws {
        let world = SimulatedWorld(seed: 5)
        world.eventsPerInstantMax = 1000
        let node = world.addNode("spinner")
        func spin() { node.enqueue { spin() } }
        spin()
        let error = #expect(throws: SimulationError.self) { try world.run(for: .seconds(1)) }
        #expect(error?.kind == .livelock)
    }

    @Test("a reported failure ends the run with its seed")
    func failure() throws {
        let world = SimulatedWorld(seed: 77)
        let node = world.addNode("a")
        node.schedule(after: .seconds(1)) { world.fail("two primaries in term 3") }
        let error = #expect(throws: SimulationError.self) { try world.run(for: .seconds(5)) }
        #expect(error?.description == "simulation of seed 77 stopped at 1.0 s: two primaries in term 3")
    }
}
