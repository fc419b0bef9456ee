import CommandLine
import Conformance
import Core
import Quorate

if CommandLine.arguments.dropFirst().first == "check" {
    // Throws when the strategy breaks a rule, and says which.
    try ShardKeyStrategyConformance(SpreadShardKeys(PartOptions()), patterns: [["_id": 1], ["at.day": 1, "shop": 1]])
        .run()
} else {
    // The same program as `quorate`, with one part more.
    var parts = PartRegistry.standard
    parts.register(
        .shardKeyStrategy,
        Part(
            "spread", summary: "buckets of ordered keys, for keys that only grow", options: [SpreadShardKeys.buckets]
        ) { try SpreadShardKeys($0) })
    await QuorateProgram.main(registry: parts)
}
