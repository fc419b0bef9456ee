internal import BSON
internal import Core
internal import Data
internal import Frontend

/// How long commands took, by kind: `opLatencies` of `serverStatus`.
struct LatencyCounters {
    /// The number of commands of one kind, and the time that they took together.
    struct Total {
        var count: Int64 = 0
        var nanoseconds: Int64 = 0

        mutating func note(_ time: Int64) {
            count &+= 1
            nanoseconds &+= time
        }

        func write(to writer: DocumentWriter) {
            writer.append("latency", int64: nanoseconds / 1000)
            writer.append("ops", int64: count)
        }
    }

    var reads = Total()
    var writes = Total()
    var commands = Total()

    func write(to writer: DocumentWriter) {
        writer.document("reads") { reads.write(to: $0) }
        writer.document("writes") { writes.write(to: $0) }
        writer.document("commands") { commands.write(to: $0) }
        writer.document("transactions") { Total().write(to: $0) }
    }
}

/// Waits for write concerns: `metrics.getLastError`.
struct WriteConcernCounters {
    var waits: Int64 = 0
    var waited: Duration = .zero
    var timeouts: Int64 = 0
}

/// Entries of other members that were applied here: `opcountersRepl` and `metrics.repl.apply`.
struct AppliedCounters {
    var insert: Int64 = 0
    var update: Int64 = 0
    var delete: Int64 = 0
    var command: Int64 = 0
    var all: Int64 = 0

    mutating func note(_ entry: DocumentView) {
        all += 1
        switch entry["op"]?.asStringBytes?.first {
        case UInt8(ascii: "i"): insert += 1
        case UInt8(ascii: "u"): update += 1
        case UInt8(ascii: "d"): delete += 1
        case UInt8(ascii: "c"): command += 1
        default: break
        }
    }
}

extension Node {
    /// A command is over: counts it, and what it took.
    @inline(__always) @discardableResult
    func noteEnd(_ command: DataCommand, since startedAt: Instant, _ collection: Collection?) -> Int64 {
        let time = runtime.now.nanoseconds &- startedAt.nanoseconds
        if command.traits.contains(.read) {
            counters.latencies.reads.note(time)
        } else if command.traits.contains(.retryable) {
            counters.latencies.writes.note(time)
        } else {
            counters.latencies.commands.note(time)
            return time
        }
        collection?.usage.note(command.usage, nanoseconds: time)
        return time
    }
}

/// `top`: how often and how long collections were used.
enum TopCommand {
    static func add(to table: inout CommandSet) {
        table.add(
            Command("top", [.adminOnly], .empty, help: "how often and how long collections were used") { context in
                let node = context.node
                context.writer.document("totals") { totals in
                    totals.append("note", string: "all times in microseconds")
                    for collection in node.data.catalog.collections {
                        totals.document(collection.namespace.fullName) { write(collection.usage, to: $0) }
                    }
                }
                return .done
            })
    }

    private static func write(_ usage: CollectionUsage, to writer: DocumentWriter) {
        func sum(_ kinds: [CollectionUsage.Kind]) -> CollectionUsage.Total {
            kinds.reduce(into: CollectionUsage.Total()) {
                $0.count &+= usage[$1].count
                $0.nanoseconds &+= usage[$1].nanoseconds
            }
        }
        func append(_ name: StaticString, _ total: CollectionUsage.Total) {
            writer.document(name) {
                $0.append("time", int64: total.nanoseconds / 1000)
                $0.append("count", int64: total.count)
            }
        }
        append("total", sum(CollectionUsage.Kind.allCases))
        append("readLock", sum([.queries, .getmore, .commands]))
        append("writeLock", sum([.insert, .update, .remove]))
        append("queries", usage[.queries])
        append("getmore", usage[.getmore])
        append("insert", usage[.insert])
        append("update", usage[.update])
        append("remove", usage[.remove])
        append("commands", usage[.commands])
    }
}
