import BSON
import Core
import Simulation
import Testing

@testable import Wire

@Suite("A channel matches replies to requests") struct ChannelSimulationTests {
    @Test("replies in reverse order find their requests")
    func reverseOrder() throws {
        let harness = try ChannelHarness()
        harness.ask(1...100)
        try harness.runUntilAsked(100)
        #expect(harness.channel.isInUse)
        for asked in harness.peer.requests.reversed() { harness.peer.answer(asked) }
        try harness.runUntilEnded(100)
        #expect(harness.ended == (1...100).reversed())
        #expect(harness.isAnsweredRightly)
        #expect(!harness.channel.isInUse && harness.channel.isUsable)
    }

    @Test("a completion may ask again at once, and close the channel")
    func reentrance() throws {
        let harness = try ChannelHarness()
        harness.channel.request(timeout: nil, database: "admin") {
            $0.append("n", int32: 1)
        } completion: {
            harness.note(1, $0)
            harness.ask(2...3)
        }
        try harness.runUntilAsked(1)
        harness.peer.answer(harness.peer.requests[0])
        try harness.runUntilAsked(3)
        harness.channel.close()
        harness.ask(4...4)
        #expect(harness.ended == [1, 2, 3, 4])
        #expect(harness.outcomes.dropFirst().allSatisfy { $0.outcome == .failed(.closed(.local)) })
    }

    @Test("a reply that nobody asked for ends the channel, and what is in flight fails in order")
    func strayReply() throws {
        let harness = try ChannelHarness()
        harness.ask(1...3)
        try harness.runUntilAsked(3)
        harness.peer.send(["ok": 1], to: 77)
        try harness.runUntilEnded(3)
        let error = ChannelError.unreadable("a reply to request 77, which was not made")
        #expect(harness.ended == [1, 2, 3])
        #expect(harness.outcomes.allSatisfy { $0.outcome == .failed(error) })
        #expect(harness.ends == [error])
    }

    @Test("what is no reply ends the channel")
    func unreadable() throws {
        let harness = try ChannelHarness()
        harness.ask(1...1)
        try harness.runUntilAsked(1)
        let connection = try #require(harness.peer.connection)
        let message = MessageWriter(message: connection.output, requestID: 1, responseTo: 1, flags: 1 << 3)
        message.finish()
        connection.flush()
        try harness.runUntilEnded(1)
        guard case .failed(.unreadable) = harness.outcomes[0].outcome else { return #expect(Bool(false)) }
    }

    @Test("the connection is lost with several in flight: all fail, in order, before the end is told")
    func connectionLost() throws {
        let harness = try ChannelHarness()
        harness.ask(1...5)
        try harness.runUntilAsked(5)
        harness.peer.answer(harness.peer.requests[2])
        try harness.runUntilEnded(1)
        harness.peer.connection?.close(graceful: false)
        try harness.runUntilEnded(5)
        #expect(harness.ended == [3, 1, 2, 4, 5])
        #expect(harness.outcomes.dropFirst().allSatisfy { $0.outcome == .failed(.closed(.remote)) })
        #expect(harness.ends == [.closed(.remote)])
    }

    @Test("nobody listens: what was asked fails, and so does what is asked later")
    func unreachable() throws {
        let world = SimulatedWorld(seed: 1)
        let here = world.addNode("here")
        let channel = Channel(
            to: Endpoint(host: "nowhere", port: 1), over: world.network.transport(for: here), here,
            settings: .init(connectTimeout: .seconds(1)))
        var failures: [ChannelError] = []
        let ask = {
            channel.request(timeout: .seconds(9), database: "admin", { _ in }) {
                if case .failure(let error) = $0 { failures.append(error) }
            }
        }
        ask()
        try world.run(until: { !failures.isEmpty }, atMost: .seconds(5), "the failure")
        ask()
        #expect(failures.count == 2 && failures[0] == failures[1])
        guard case .closed(.unreachable) = failures[0] else { return #expect(Bool(false), "\(failures)") }
    }

    @Test("no more are in flight than the limit; the next one fails at once and the others are answered")
    func limit() throws {
        let harness = try ChannelHarness()
        let most = Int32(Limits.channelRequestsMax)
        harness.ask(1...most)
        harness.ask(0...0)
        #expect(harness.outcomes.first?.outcome == .failed(.full))
        try harness.runUntilAsked(Int(most))
        for asked in harness.peer.requests { harness.peer.answer(asked) }
        try harness.runUntilEnded(Int(most) + 1)
        #expect(harness.ended == Array(0...most))
        harness.ask(0...0)
        #expect(harness.outcomes.count == Int(most) + 1)
    }

    // MARK: Deadlines

    @Test("a request's time is over while another goes on, and its late reply is dropped")
    func deadline() throws {
        let harness = try ChannelHarness { $0.outlivesTimeouts = true }
        harness.ask(1...1, timeout: .seconds(2))
        harness.ask(2...3, timeout: .seconds(8))
        try harness.runUntilAsked(3)
        harness.peer.answer(harness.peer.requests[2])
        try harness.runUntilEnded(2)
        #expect(harness.outcomes[1].request == 1 && harness.outcomes[1].outcome == .failed(.timedOut))
        for asked in harness.peer.requests.prefix(2) { harness.peer.answer(asked) }
        try harness.runUntilEnded(3)
        #expect(harness.outcomes[2].outcome == .reply(2))
        #expect(harness.channel.isUsable)
    }

    @Test("nothing at all came since the request: the connection counts as dead, and all in flight fail")
    func silence() throws {
        let harness = try ChannelHarness { $0.outlivesTimeouts = true }
        harness.ask(1...1, timeout: .seconds(2))
        harness.ask(2...3, timeout: .seconds(8))
        try harness.runUntilEnded(3)
        #expect(harness.ended == [2, 3, 1])
        #expect(harness.outcomes.allSatisfy { $0.outcome == .failed(.timedOut) })
        #expect(!harness.channel.isUsable)
    }

    @Test("where late replies are not expected, a time that is over ends the channel")
    func deadlineEnds() throws {
        let harness = try ChannelHarness()
        harness.ask(1...1, timeout: .seconds(2))
        harness.ask(2...2)
        try harness.runUntilAsked(2)
        harness.peer.answer(harness.peer.requests[1])
        try harness.runUntilEnded(2)
        #expect(harness.outcomes.map(\.outcome) == [.reply(2), .failed(.timedOut)])
        #expect(harness.ends == [.timedOut])
    }

    // MARK: Streams

    @Test("a stream of replies has the channel to itself, and each reply renews its time")
    func stream() throws {
        let harness = try ChannelHarness()
        harness.ask(1...1, timeout: .seconds(2))
        try harness.runUntilAsked(1)
        var last = harness.peer.requests[0].id
        for count in 1...4 {
            last = harness.peer.send(["n": 1], to: last, more: true)
            try harness.runUntilEnded(count)
            try harness.world.run(for: .milliseconds(1500))
        }
        harness.ask(2...2)
        #expect(harness.outcomes.last?.outcome == .failed(.full))
        harness.peer.send(["n": 1], to: last)
        try harness.runUntilEnded(6)
        harness.ask(3...3)
        try harness.runUntilAsked(2)
        harness.peer.answer(harness.peer.requests[1])
        try harness.runUntilEnded(7)
        #expect(harness.ended == [1, 1, 1, 1, 2, 1, 3])
    }

    @Test("a stream among other requests is refused: its numbers are not ours")
    func streamAmongOthers() throws {
        let harness = try ChannelHarness()
        harness.ask(1...2)
        try harness.runUntilAsked(2)
        harness.peer.send(["n": 1], to: harness.peer.requests[0].id, more: true)
        try harness.runUntilEnded(2)
        #expect(harness.ends == [.unreadable("a stream of replies among others")])
    }

    // MARK: Compression

    private static let long = String(repeating: "all work and no play ", count: 100)
    private static let huge = String(repeating: "all work and no play ", count: 40_000)

    @Test("what hello agreed upon compresses requests, and compressed replies are read", arguments: Compressor.allCases)
    func compression(_ compressor: Compressor) throws {
        let harness = try ChannelHarness { $0.compressors = [compressor, .zlib] }
        harness.peer.compressors = [.zlib, compressor]
        // Ahead of the reply to hello nothing is agreed.
        harness.channel.introduce { $0.append("hello", int32: 1) }
        harness.ask(1...1, pad: Self.long)
        try harness.runUntilAsked(1)
        try harness.world.run(for: .seconds(1))
        harness.ask(2...2, pad: Self.long)
        harness.ask(3...3)
        try harness.runUntilAsked(3)
        #expect(harness.peer.requests.map(\.wasCompressed) == [false, true, false])
        #expect(harness.peer.requests[1].document["pad"] == .string(Self.long))
        for asked in harness.peer.requests { harness.peer.answer(asked, pad: Self.long, with: compressor) }
        try harness.runUntilEnded(3)
        #expect(harness.isAnsweredRightly)
    }

    @Test("a large reply is decompressed aside: what came behind it waits, the end of the connection too")
    func largeReply() throws {
        let harness = try ChannelHarness { $0.compressors = [.zstd] }
        harness.ask(1...4)
        try harness.runUntilAsked(4)
        #expect(Self.huge.utf8.count > Limits.decompressionBytesOnLoop)
        for (asked, pad) in zip(harness.peer.requests, [Self.huge, "", Self.huge, ""]) {
            harness.peer.answer(asked, pad: pad, with: .zstd)
        }
        harness.peer.connection?.close(graceful: true)
        try harness.runUntilEnded(4)
        #expect(harness.ended == [1, 2, 3, 4])
        #expect(harness.isAnsweredRightly)
        try harness.world.run(for: .seconds(1))
        #expect(harness.ends == [.closed(.remote)])
    }

    @Test("closing while a large reply is decompressed fails what is in flight once")
    func closedMeanwhile() throws {
        let harness = try ChannelHarness { $0.compressors = [.zstd] }
        harness.ask(1...2)
        try harness.runUntilAsked(2)
        harness.peer.answer(harness.peer.requests[0], pad: Self.huge, with: .zstd)
        try harness.world.run(
            until: { harness.channel.compression.behind != nil }, atMost: .seconds(5), "the large reply")
        harness.channel.close()
        try harness.world.run(for: .seconds(1))
        #expect(harness.ended == [1, 2])
        #expect(harness.outcomes.allSatisfy { $0.outcome == .failed(.closed(.local)) })
    }

    @Test("a compressor that was not offered ends the channel")
    func notOffered() throws {
        let harness = try ChannelHarness { $0.compressors = [.zstd] }
        harness.ask(1...1)
        try harness.runUntilAsked(1)
        harness.peer.answer(harness.peer.requests[0], pad: Self.long, with: .snappy)
        try harness.runUntilEnded(1)
        #expect(harness.ends == [.unreadable("compressed by snappy, which was not agreed upon")])
    }
}
