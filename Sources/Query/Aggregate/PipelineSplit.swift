public import BSON
import Core

/// A pipeline in two parts: one that runs on each shard that has documents for it, and one behind it, where the shards'
/// results are merged. Each stage says by itself where it may run (`StageTraits.split`).
public struct PipelineSplit: Sendable {
    /// The stages of each shard.
    public private(set) var shards: [Document] = []
    /// The stages behind the merge.
    public private(set) var merge: [Document] = []
    /// Whether the shards' part ends with a `$group` whose partial results the first stage of the other part takes.
    public private(set) var isGrouped = false
    /// The order in which the shards give their results, and in which they are merged; nil for none.
    public private(set) var sort: Document?

    private static let places: [String: StageTraits.Split] = Dictionary(
        uniqueKeysWithValues: StageTraits.all.map { ($0.name, $0.split) })

    /// Splits the stages of a pipeline, which have been checked.
    public init(_ pipeline: [Document]) {
        let stages = pipeline.flatMap { PipelineSplit.written($0) }
        for (index, stage) in stages.enumerated() {
            switch stage.keys.first.flatMap({ PipelineSplit.places[$0] }) ?? .merge {
            case .shards where stage.keys.first != "$merge":
                shards.append(stage)
                continue
            case .first:
                shards.append(stage)
                continue
            case .both: both(stage, Array(stages[(index + 1)...]))
            case .merge, .shards: behind(Array(stages[index...]))
            }
            return
        }
    }

    /// Stages that stand for several.
    private static func written(_ stage: Document) -> [Document] {
        guard let value = stage["$sortByCount"] else { return [stage] }
        return [["$group": ["_id": value, "count": ["$sum": 1]]], ["$sort": ["count": -1]]]
    }

    /// A stage with a part on each shard; nothing behind it runs there.
    private mutating func both(_ stage: Document, _ rest: [Document]) {
        guard let name = stage.keys.first, let value = stage[name] else { return behind([stage] + rest) }
        switch name {
        case "$limit":
            shards.append(stage)
            merge = [stage] + rest
        case "$sort":
            shards.append(stage)
            if let most = PipelineSplit.most(rest) { shards.append(["$limit": .int64(most)]) }
            sort = value.asDocument
            merge = rest
        case "$group", "$bucket":
            shards.append(stage)
            isGrouped = true
            merge = [stage] + rest
        case "$count":
            shards.append(stage)
            let field = value.asString ?? "count"
            merge = [["$group": ["_id": nil, field: ["$sum": .string("$" + field)]]], ["$project": ["_id": 0]]] + rest
        case "$sample":
            // A random number for each document says which of them are taken, whatever shard they are of.
            let size = value.asDocument?["size"] ?? 0
            shards += [
                ["$project": ["_id": 0, "document": "$$ROOT", "place": ["$rand": [:]]]], ["$sort": ["place": 1]],
                ["$limit": .int64(Int64(clampingDouble: size.asNumber ?? 0))],
            ]
            sort = ["place": 1]
            merge =
                [
                    ["$limit": .int64(Int64(clampingDouble: size.asNumber ?? 0))],
                    ["$replaceRoot": ["newRoot": "$document"]],
                ]
                + rest
        default: behind([stage] + rest)
        }
    }

    /// The merge begins with these; where they leave most out, the shards need not send it.
    private mutating func behind(_ rest: [Document]) {
        if let most = PipelineSplit.most(rest) { shards.append(["$limit": .int64(most)]) }
        merge = rest
    }

    /// How many documents `$skip` and `$limit` at the beginning of some stages need; nil for all.
    private static func most(_ stages: [Document]) -> Int64? {
        var skipped: Int64 = 0
        for stage in stages {
            if let count = stage["$skip"]?.asInteger {
                let (sum, overflow) = skipped.addingReportingOverflow(count)
                if overflow { return nil }
                skipped = sum
            } else if let count = stage["$limit"]?.asInteger {
                let (sum, overflow) = skipped.addingReportingOverflow(count)
                return overflow ? nil : sum
            } else {
                return nil
            }
        }
        return nil
    }

    /// The collections that the stages of a pipeline read besides its own, those of pipelines inside it included.
    public static func joined(_ pipeline: [Document]) -> Set<String> {
        var names: Set<String> = []
        for stage in pipeline {
            guard let name = stage.keys.first, let value = stage[name] else { continue }
            if name == "$facet", let facets = value.asDocument {
                for facet in facets.values { names.formUnion(joined(stages(facet))) }
            }
            guard ["$lookup", "$unionWith", "$graphLookup"].contains(name) else { continue }
            if let other = value.asString { names.insert(other) }
            guard let fields = value.asDocument else { continue }
            if let other = (fields["from"] ?? fields["coll"])?.asString { names.insert(other) }
            if let inner = fields["pipeline"] { names.formUnion(joined(stages(inner))) }
        }
        return names
    }

    private static func stages(_ value: Value) -> [Document] { value.asArray?.compactMap(\.asDocument) ?? [] }
}
