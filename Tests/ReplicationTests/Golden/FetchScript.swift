import BSON
import Core
import Testing

@testable import Replication

/// Scripts of `OplogFetch`. The shell's part is played by the script: it says what became of each directive.
struct FetchScript {
    private var fetch = OplogFetch()
    private var now = OplogFetch.Situation(
        lastEntry: OpTime(1, 10), term: 1, commitPoint: OpTime(1, 9), isPrimary: false, primaryHost: "m1:27017",
        hasOtherSource: false, delay: .zero, wallClock: WallTime(milliseconds: 100_000), awaitTime: .milliseconds(500),
        isPaused: false,
        isInInitialSync: false, isRollingBack: false)
    private var exchange = Exchange(0)

    mutating func run(_ command: GoldenFile.Command) throws -> [String] {
        let directives = try answer(command)
        for case .request(_, let exchange, _) in directives { self.exchange = exchange }
        return directives.map(\.golden)
    }

    private mutating func answer(_ command: GoldenFile.Command) throws -> [OplogFetch.Directive] {
        switch command.name {
        case "new": self = FetchScript()
        case "now": try change(command)
        case "source":
            guard command.arguments != ["none"] else { return fetch.onSourceChosen(nil, host: nil, now) }
            let id = try command.memberID()
            return fetch.onSourceChosen(id, host: "m\(id):27017", now)
        case "stop": return fetch.onStop()
        case "drain": return fetch.onDrain(term: try command.integer("term") ?? now.term)
        case "go-on": return fetch.onReady(now)
        case "answer":
            guard let answer = command.arguments.first.flatMap(OplogAnswer.init(rawValue:)) else {
                throw command.unknown
            }
            let metadata = ReplicationMetadata.golden(
                term: try command.integer("term") ?? now.term, commitPoint: try command.optime("commit") ?? .null,
                rollbackID: Int32(try command.integer("rbid") ?? 1))
            return fetch.onAnswer(try asked(command), answer, metadata, now)
        case "no-answer":
            let why = command.fields["why"] ?? "timed out"
            return fetch.onNoAnswer(try asked(command), why, isUnreadable: command.has("unreadable"), now)
        case "taken": return fetch.onFrameTaken(try outcome(command), now)
        case "hold":
            let entry: Document = [:]
            for text in command.arguments {
                let optime = try GoldenFile.Command.optime(text)
                entry.withView {
                    fetch.held.append(
                        $0.bytes, optime, wall: WallTime(milliseconds: Int64(optime.timestamp.increment) * 1000))
                }
            }
        case "due": return fetch.onHeldDue(now)
        case "applied":
            for _ in 0..<(try command.integer("count") ?? 0) { fetch.held.removeFirst() }
            return fetch.onHeldApplied(try outcome(command), now)
        case "prefetched": return fetch.onPrefetched(now)
        case "built": return fetch.onBuildFinished(now)
        default: throw command.unknown
        }
        return []
    }

    private func asked(_ command: GoldenFile.Command) throws -> Exchange {
        Exchange(command.has("earlier") ? exchange.number - 1 : exchange.number)
    }

    private func outcome(_ command: GoldenFile.Command) throws -> OplogFetch.Outcome {
        if command.has("damaged") { return .damaged("checksum") }
        if command.has("needs-storage") { return .waitsForStorage }
        return command.has("needs-build") ? .waitsForIndexBuild : .taken
    }

    private mutating func change(_ command: GoldenFile.Command) throws {
        now.lastEntry = try command.optime("last") ?? now.lastEntry
        now.commitPoint = try command.optime("commit") ?? now.commitPoint
        now.term = try command.integer("term") ?? now.term
        now.delay = try command.duration("delay") ?? now.delay
        now.primaryHost = command.fields["primary"].map { "m\($0):27017" } ?? now.primaryHost
        if let wall = try command.duration("wall") { now.wallClock = WallTime(milliseconds: wall.wholeMilliseconds) }
        for flag in command.arguments {
            switch flag {
            case "others": now.hasOtherSource = true
            case "primary": now.isPrimary = true
            case "secondary": now.isPrimary = false
            case "paused": now.isPaused = true
            case "running": now.isPaused = false
            case "rolling-back": now.isRollingBack = true
            case "in-initial-sync": now.isInInitialSync = true
            case "steady":
                now.isRollingBack = false
                now.isInInitialSync = false
            default: throw GoldenFile.Failure("unknown: \(flag)")
            }
        }
    }
}

extension OplogFetch.Directive {
    var golden: String {
        switch self {
        case .connect(let host): "connect to \(host)"
        case .disconnect: "disconnect"
        case .request(let request, _, let timeout): "ask for \(request.golden); time limit \(timeout.golden)"
        case .applyFrame: "apply the entries"
        case .holdFrame: "hold the entries"
        case .applyHeld(let delay): "apply held entries older than \(delay.golden)"
        case .setTimer(let wait): "look again in \(wait.golden)"
        case .finishIndexBuild: "finish the index build"
        case .prefetch: "prefetch what the entry needs"
        case .report: "report what was applied"
        case .tellBatch(let id, let metadata):
            "tell the member: batch from \(id), term \(metadata.term), commit point \(metadata.commitPoint.golden)"
        case .tellSourceFailed(let id, let denial): "tell the member: source \(id) failed, denied for \(denial.golden)"
        case .tellCatchUpDiverged(let id): "tell the member: \(id) has another history, the catch-up ends"
        case .tellDrained(let term): "tell the member: drained in term \(term)"
        case .rollBack(let id, let host): "roll back, source \(id) at \(host)"
        case .resynchronize(let answer): "clone anew: \(answer.rawValue)"
        case .goOn: "go on"
        case .log(let line): "log: \(line)"
        case .probe(let name): "probe: \(name)"
        case .ignored(let why): "ignored: \(why)"
        }
    }
}
