internal import BSON
internal import Core
internal import Data
internal import Frontend

/// `profile`: the level of a database, and from when on an operation is slow. A setting of this node alone, gone when
/// it stops.
enum ProfileCommand {
    static func add(to table: inout CommandSet) {
        table.add(
            Command("profile", .profile, help: "switches the profiler of a database on and off", run: run))
    }

    private static func run(_ context: CommandContext) throws -> CommandOutcome {
        guard let level = context.argument.asInteger else {
            throw wrongType("profile", context.argument, "int")
        }
        guard (-1...2).contains(level) else {
            throw ServerError(.badValue, "profiling level must be one of -1, 0, 1, 2, and not \(level)")
        }
        let slowMillis = try slowMillis(context)
        let sampleRate = try sampleRate(context)
        let profiler = context.node.profiler
        let was = (profiler.level(of: context.database), profiler.slowMillis, profiler.sampleRate)
        if level > 0, context.node.lock.isHeld {
            return .later {
                try await context.awaitUnlock()
                try await context.runToEnd()
            }
        }
        if level > 0 { try context.node.data.profileCollection(of: context.database) }
        if level >= 0 { profiler.setLevel(Int(level), of: context.database) }
        if let slowMillis { profiler.slowMillis = slowMillis }
        if let sampleRate { profiler.sampleRate = sampleRate }
        let writer = context.writer
        writer.append("was", int32: Int32(clamping: was.0))
        writer.append("slowms", int32: Int32(clamping: was.1))
        writer.append("sampleRate", double: was.2)
        if level >= 0 || slowMillis != nil || sampleRate != nil {
            context.runtime.log.log(
                .info, "command",
                "profiler of \(context.database): level \(profiler.level(of: context.database)), "
                    + "slowms \(profiler.slowMillis), sampleRate \(profiler.sampleRate)")
        }
        return .done
    }

    private static func slowMillis(_ context: CommandContext) throws(ServerError) -> Int64? {
        guard let value = context.body["slowms"] else { return nil }
        guard let millis = value.asInteger else {
            throw ServerError(.badValue, "'slowms' has to be a whole number of milliseconds")
        }
        return millis
    }

    private static func sampleRate(_ context: CommandContext) throws(ServerError) -> Double? {
        guard let value = context.body["sampleRate"] else { return nil }
        guard let rate = value.asNumber, rate >= 0, rate <= 1 else {
            throw ServerError(.badValue, "'sampleRate' must be between 0.0 and 1.0 inclusive")
        }
        return rate
    }
}
