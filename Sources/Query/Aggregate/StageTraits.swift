/// How a stage runs: what the planner of a sharded aggregation and the documentation go by.
public struct StageTraits: Sendable {
    /// When a stage shows its results.
    public enum Flow: String, Sendable {
        /// Each document as it comes.
        case streams
        /// Nothing before all its input is there.
        case blocks
    }

    /// Where a stage runs when its input lies on several shards.
    public enum Split: String, Sendable {
        /// On each shard, as it is.
        case shards
        /// A part on each shard, and one where their results are merged.
        case both
        /// Where the results of the shards are merged.
        case merge
        /// It is the first stage: on each shard that is asked.
        case first
    }

    /// With its dollar sign.
    public let name: String
    /// When it shows its results.
    public let flow: Flow
    /// Whether it goes on with the help of temporary tables when its memory is used up.
    public let spills: Bool
    /// Where it runs on shards.
    public let split: Split

    init(_ name: String, _ flow: Flow, spills: Bool = false, _ split: Split) {
        self.name = name
        self.flow = flow
        self.spills = spills
        self.split = split
    }

    /// All stages that there are.
    public static let all: [StageTraits] = [
        StageTraits("$addFields", .streams, .shards),
        StageTraits("$bucket", .blocks, .both),
        StageTraits("$bucketAuto", .blocks, spills: true, .merge),
        StageTraits("$collStats", .streams, .first),
        StageTraits("$count", .blocks, .both),
        StageTraits("$currentOp", .streams, .first),
        StageTraits("$densify", .blocks, spills: true, .merge),
        StageTraits("$documents", .streams, .merge),
        StageTraits("$facet", .blocks, .merge),
        StageTraits("$fill", .blocks, spills: true, .merge),
        StageTraits("$graphLookup", .streams, .merge),
        StageTraits("$group", .blocks, spills: true, .both),
        StageTraits("$indexStats", .streams, .first),
        StageTraits("$limit", .streams, .both),
        StageTraits("$listLocalSessions", .streams, .first),
        StageTraits("$listSessions", .streams, .first),
        StageTraits("$lookup", .streams, .merge),
        StageTraits("$match", .streams, .shards),
        StageTraits("$merge", .streams, .shards),
        StageTraits("$out", .streams, .merge),
        StageTraits("$planCacheStats", .streams, .first),
        StageTraits("$project", .streams, .shards),
        StageTraits("$redact", .streams, .shards),
        StageTraits("$replaceRoot", .streams, .shards),
        StageTraits("$replaceWith", .streams, .shards),
        StageTraits("$sample", .blocks, .both),
        StageTraits("$set", .streams, .shards),
        StageTraits("$setWindowFields", .blocks, spills: true, .merge),
        StageTraits("$skip", .streams, .merge),
        StageTraits("$sort", .blocks, spills: true, .both),
        StageTraits("$sortByCount", .blocks, spills: true, .both),
        StageTraits("$unionWith", .streams, .merge),
        StageTraits("$unset", .streams, .shards),
        StageTraits("$unwind", .streams, .shards),
    ]
}
