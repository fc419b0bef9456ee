public import BSON
import Core

extension QueryPlan {
    /// What happens to the documents that the access finds.
    public struct Stages {
        public var sort: SortPattern?
        public var skip: Int64
        public var limit: Int64
        public var projection: Projection?
        /// Whether documents are only counted.
        public var isCount: Bool
        /// Whether what the shard does not own is left out.
        public var isSharded = false

        public init(
            sort: SortPattern? = nil, skip: Int64 = 0, limit: Int64 = 0, projection: Projection? = nil,
            isCount: Bool = false
        ) {
            self.sort = sort
            self.skip = skip
            self.limit = limit
            self.projection = projection
            self.isCount = isCount
        }
    }

    /// `queryPlanner.winningPlan` of explain: the stages from the last to the first, each inside the one behind it.
    public func winningPlan(_ stages: Stages = Stages()) -> Document {
        var plan = accessPlan
        if stages.isSharded { plan = ["stage": "SHARDING_FILTER", "inputStage": .document(plan)] }
        if let sort = stages.sort, !sort.isEmpty, !providesSort {
            let input = plan
            plan = Document { writer in
                writer.append("stage", string: "SORT")
                writer.append("sortPattern", sort.source)
                writer.append("memLimit", int64: Int64(Limits.stageBytesMax))
                if stages.limit > 0 { writer.append("limitAmount", int64: stages.limit &+ stages.skip) }
                writer.append("type", string: "simple")
                writer.append("inputStage", input)
            }
        }
        if stages.skip > 0 {
            let input = plan
            plan = Document { writer in
                writer.append("stage", string: "SKIP")
                writer.append("skipAmount", int64: stages.skip)
                writer.append("inputStage", input)
            }
        }
        if let projection = stages.projection, !projection.isEmpty {
            let input = plan
            plan = Document { writer in
                writer.append("stage", string: projection.isSimple ? "PROJECTION_SIMPLE" : "PROJECTION_DEFAULT")
                writer.append("transformBy", projection.source)
                writer.append("inputStage", input)
            }
        }
        if stages.limit > 0 {
            let input = plan
            plan = Document { writer in
                writer.append("stage", string: "LIMIT")
                writer.append("limitAmount", int64: stages.limit)
                writer.append("inputStage", input)
            }
        }
        guard stages.isCount else { return plan }
        return ["stage": "COUNT", "inputStage": .document(plan)]
    }

    /// The plan in a word, as the profiler shows it (`planSummary`).
    public var summary: String {
        switch access {
        case .idLookup: "IDHACK"
        case .idsLookup: "IXSCAN { _id: 1 }"
        case .indexScan(let scan): scan.summary
        case .indexUnion(let scans): scans.map(\.summary).joined(separator: ", ")
        case .collectionScan: "COLLSCAN"
        }
    }

    private var accessPlan: Document {
        let filter = residual.parsedQuery
        switch access {
        case .idLookup: return ["stage": "IDHACK"]
        case .idsLookup(let values):
            let points = values.map { Value.string(Interval.point($0).text(isReversed: false)) }
            return [
                "stage": "FETCH",
                "inputStage": [
                    "stage": "IXSCAN", "keyPattern": ["_id": 1], "indexName": "_id_", "isMultiKey": false,
                    "multiKeyPaths": ["_id": []], "isUnique": true, "isSparse": false, "isPartial": false,
                    "indexVersion": 2, "direction": "forward", "indexBounds": ["_id": .array(points)],
                ],
            ]
        case .indexScan(let scan): return fetch(scan.explain, filter)
        case .indexUnion(let scans):
            return fetch(["stage": "OR", "inputStages": .array(scans.map { .document($0.explain) })], filter)
        case .collectionScan(let direction):
            return Document { writer in
                writer.append("stage", string: "COLLSCAN")
                if !filter.isEmpty { writer.append("filter", filter) }
                writer.append("direction", string: direction == .forward ? "forward" : "backward")
            }
        }
    }

    private func fetch(_ input: Document, _ filter: Document) -> Document {
        Document { writer in
            writer.append("stage", string: "FETCH")
            if !filter.isEmpty { writer.append("filter", filter) }
            writer.append("inputStage", input)
        }
    }
}

extension IndexScan {
    fileprivate var summary: String {
        let fields = index.keyPattern.fields.map { key, value in
            "\(key): " + (value.asInteger.map { "\($0)" } ?? value.asString.map { "\"\($0)\"" } ?? "\(value)")
        }
        return "IXSCAN { \(fields.joined(separator: ", ")) }"
    }

    /// The `IXSCAN` stage of explain.
    public var explain: Document {
        Document { writer in
            writer.append("stage", string: "IXSCAN")
            writer.append("keyPattern", index.keyPattern)
            writer.append("indexName", string: index.name)
            writer.append("isMultiKey", bool: index.isMultikey)
            writer.document("multiKeyPaths") { paths in
                for (field, bits) in zip(index.pattern.fields, index.multikeyPaths) {
                    paths.array(field.path.string) { list in
                        let names = field.path.names
                        for part in names.indices where part < 64 && bits & (1 << UInt64(part)) != 0 {
                            list.append(string: names[...part].joined(separator: "."))
                        }
                    }
                }
            }
            writer.append("isUnique", bool: index.isUnique || index.isIdIndex)
            writer.append("isSparse", bool: index.isSparse)
            writer.append("isPartial", bool: index.partialFilter != nil)
            writer.append("indexVersion", int32: 2)
            writer.append("direction", string: direction == .forward ? "forward" : "backward")
            writer.document("indexBounds") { fields in
                for (field, intervals) in boundsText {
                    fields.array(field) { list in for interval in intervals { list.append(string: interval) } }
                }
            }
        }
    }
}
