import BSON
import Core
import Testing

@testable import Replication

/// Scripts of `InitialSyncCourse`, `CloneFetch` and `SourceOutage`.
struct InitialSyncScript {
    private var course = InitialSyncCourse()
    private var fetch = CloneFetch(from: .null)
    private var outage = SourceOutage(of: "m1:27017")
    private var member = MemberFixture()
    private var last = OpTime.null

    mutating func run(_ command: GoldenFile.Command) throws -> [String] {
        switch command.name {
        case "fetch-from": fetch = CloneFetch(from: try GoldenFile.Command.optime(command.arguments.first ?? ""))
        case "fetch":
            return fetch.onReady(isFull: command.has("full"), knownCommitPoint: try command.optime("commit") ?? .null)
                .map(\.golden)
        case "fetched":
            guard let answer = command.arguments.first.flatMap(OplogAnswer.init(rawValue:)) else {
                throw command.unknown
            }
            return fetch.onAnswer(answer).map(\.golden)
        case "frame": return fetch.onFrame(end: try command.optime("end") ?? .null).map(\.golden)
        case "hear":
            for id in try command.arguments.map({ try GoldenFile.Command("x \($0)").memberID() }) {
                member.answer(id, member.report(id))
            }
        case "lose": member.failHeartbeats(of: try command.memberID())
        case "pass": member.now = member.now + (try command.duration("time") ?? .zero)
        case "answered": outage = SourceOutage(of: "m1:27017")
        case "no-answer":
            let code: ErrorCode = command.has("timeout") ? .networkTimeout : .hostUnreachable
            let verdict = outage.onNoAnswer(ServerError(code, "no answer"), member.member, now: member.now)
            switch verdict {
            case .askAgain(let pause): return ["ask again after \(pause.golden)"]
            case .giveUp(let why, let denies): return ["give up: \(why)"] + (denies ? ["deny the source"] : [])
            }
        default: return try answer(command).map(\.golden)
        }
        return []
    }

    private mutating func answer(_ command: GoldenFile.Command) throws -> [InitialSyncCourse.Directive] {
        last = try command.optime("last") ?? last
        switch command.name {
        case "new":
            course = InitialSyncCourse(mustDiscard: command.has("with-data"))
            last = .null
        case "start": return course.onStart()
        case "source": return course.onSource("m\(try command.memberID()):27017")
        case "position": return course.onPosition(try position(command), last: last)
        case "metadata":
            let metadata = try position(command).metadata
            if let why = course.confirm(metadata) { return course.onFailed(why) }
        case "collections": return course.onCollections(count: Int(try command.integer("count") ?? 0))
        case "documents": return course.onDocuments(next: try command.integer("next"))
        case "sessions": return course.onSessions(next: try command.integer("next").map { [UInt8(clamping: $0)] })
        case "applied": return course.onApplied(last: last, missing: Int(try command.integer("missing") ?? 0))
        case "missing-fetched": return course.onMissingFetched()
        case "built":
            return course.onIndexesBuilt(
                any: command.has("some"), last: last, isCountedVoter: command.has("counted-voter"))
        case "rest":
            return course.onRest(isEmpty: command.has("empty"), delay: try command.duration("delay") ?? .zero)
        case "failed": return course.onFailed(command.fields["why"] ?? "", isError: command.has("error"))
        default: throw command.unknown
        }
        return []
    }

    private func position(_ command: GoldenFile.Command) throws -> SourcePositionReply {
        SourcePositionReply(
            incarnation: MemberFixture.incarnation(command.has("restarted") ? 9 : 1),
            metadata: .golden(
                commitPoint: try command.optime("commit") ?? .null, applied: try command.optime("at") ?? OpTime(1, 10),
                rollbackID: Int32(try command.integer("rbid") ?? 1)))
    }
}

extension InitialSyncCourse.Directive {
    var golden: String {
        switch self {
        case .enter(let phase): "phase: \(phase.rawValue)"
        case .awaitSource: "wait for a source"
        case .connect(let host): "connect to \(host)"
        case .disconnect: "disconnect"
        case .askPosition(let target):
            target.map { "ask how far the source is, when \($0.golden) is committed" } ?? "ask how far the source is"
        case .discardData: "throw our data away, reconnect as a new member"
        case .beginClone(let rollbackID, let begin): "begin to clone at \(begin.golden), rollback id \(rollbackID)"
        case .startFetching(let begin): "fetch entries from \(begin.golden) on"
        case .stopFetching: "stop fetching"
        case .cloneDefinitions: "clone the definitions of collections"
        case .cloneDocuments(let place, let after): "clone documents of collection \(place) behind record \(after)"
        case .cloneSessions(let after): "clone sessions behind \(after)"
        case .apply(let stop): "apply fetched entries through \(stop.golden)"
        case .fetchMissing: "fetch missing documents"
        case .buildIndexes: "build indexes"
        case .becomeReadable: "the data are whole"
        case .lookAtRest: "look at the rest"
        case .applyRest: "apply some of the rest"
        case .flush: "flush"
        case .yield: "yield"
        case .end: "done"
        case .beginAgain(let pause, let why, let attempt, let isHopeless):
            "attempt \(attempt) failed\(isHopeless ? ", hopeless" : ""): \(why); begin again after \(pause.golden)"
        case .probe(let name): "probe: \(name)"
        }
    }
}

extension CloneFetch.Directive {
    var golden: String {
        switch self {
        case .awaitRoom: "wait for room in the buffer"
        case .request(let request): "ask for \(request.golden)"
        case .openFrame: "look at the entries"
        case .store: "put the entries into the buffer"
        case .goOn: "go on"
        case .fail(let why): "fail: \(why)"
        case .probe(let name): "probe: \(name)"
        }
    }
}
