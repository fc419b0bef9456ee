import Core
import Testing

@testable import Replication

/// Scripts of `RollbackCourse`.
struct RollbackScript {
    private var course = RollbackCourse()
    private var now = RollbackCourse.Situation(
        commitPoint: OpTime(1, 5), undoneFrom: OpTime(1, 3), isSourcePrimary: true)

    mutating func run(_ command: GoldenFile.Command) throws -> [String] {
        try answer(command).map(\.golden)
    }

    private mutating func answer(_ command: GoldenFile.Command) throws -> [RollbackCourse.Directive] {
        switch command.name {
        case "new":
            course = RollbackCourse()
            now = RollbackCourse.Situation(
                commitPoint: try command.optime("commit") ?? OpTime(1, 5),
                undoneFrom: try command.optime("undone-from") ?? OpTime(1, 3),
                isSourcePrimary: !command.has("secondary"))
        case "start": return course.onStart()
        case "own": return course.onOwnEntries(try command.arguments.map(GoldenFile.Command.optime), now)
        case "answer":
            let reply = CommonPointReply(first: try command.optime("first"), common: try command.optime("common"))
            return course.onAnswer(reply, now)
        case "no-answer": return course.onNoAnswer("timed out")
        default: throw command.unknown
        }
        return []
    }
}

extension RollbackCourse.Directive {
    var golden: String {
        switch self {
        case .readOwnEntries(let newer): newer.map { "read our entries older than \($0.golden)" } ?? "read our entries"
        case .ask(let request): "ask which it has: \(request.optimes.map(\.golden).joined(separator: " "))"
        case .undo(let common): "undo what is behind \(common.golden)"
        case .refuse(let common, let commitPoint):
            "stop: going back to \(common.golden) would undo what is committed at \(commitPoint.golden)"
        case .resynchronize(let answer): "clone anew: \(answer.rawValue)"
        case .giveUp(let why): "give up: \(why)"
        }
    }
}
