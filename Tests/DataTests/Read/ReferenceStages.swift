import BSON

/// A stage and what it does, done to an array in memory as plainly as it can be said: what every real pipeline of such
/// stages is compared with.
struct ReferenceStage: Sendable {
    let name: String
    let stage: Value
    let apply: @Sendable ([Document]) -> [Document]
}

extension ReferenceStage {
    /// The collection that joins read, in the database of the orders.
    static let stock: [Document] = (0..<4).map { ["_id": .int32(Int32($0)), "n": .int32(Int32($0 % 2))] }

    /// The input: values that repeat, arrays of two, of none, and none at all.
    static func input(_ number: Int) -> Document {
        var document: Document = ["_id": .int32(Int32(number)), "a": .int32(Int32(number * 7 % 5))]
        if number % 3 == 0 {
            document["t"] = []
        } else if number % 4 != 0 {
            document["t"] = [.int32(Int32(number)), .int32(Int32(number + 1))]
        }
        return document
    }

    static let all: [ReferenceStage] = [
        match, set, project, replace, group, sort, limit, skip, unwind, keepingUnwind, count, sortByCount, bucket,
        sample, lookup, lookupByPipeline, union, facet,
    ]

    // MARK: One document in, one out at most

    static let match = ReferenceStage(name: "match", stage: ["$match": ["a": ["$lt": 3]]]) {
        $0.filter { document in
            if case .int32(let a)? = document["a"] { a < 3 } else { false }
        }
    }
    static let set = ReferenceStage(name: "set", stage: ["$set": ["b": ["$ifNull": ["$n", -1]]]]) {
        $0.map { document in
            var changed = document
            changed["b"] = orNull(document["n"]) == .null ? -1 : document["n"]
            return changed
        }
    }
    static let project = ReferenceStage(name: "project", stage: ["$project": ["a": 1, "n": 1]]) {
        $0.map { document in
            Document {
                for (key, value) in document.fields where ["_id", "a", "n"].contains(key) { $0.append(key, value) }
            }
        }
    }
    static let replace = ReferenceStage(
        name: "replace", stage: ["$replaceWith": ["_id": "$_id", "a": ["$ifNull": ["$a", 0]], "t": "$t"]]
    ) {
        $0.map { document in
            var made: Document = [:]
            if let id = document["_id"] { made["_id"] = id }
            made["a"] = orNull(document["a"]) == .null ? 0 : document["a"]
            if let t = document["t"] { made["t"] = t }
            return made
        }
    }

    // MARK: Fewer or more

    static let limit = ReferenceStage(name: "limit", stage: ["$limit": 3]) { Array($0.prefix(3)) }
    static let skip = ReferenceStage(name: "skip", stage: ["$skip": 2]) { Array($0.dropFirst(2)) }
    static let unwind = ReferenceStage(name: "unwind", stage: ["$unwind": "$t"]) { unwound($0, keepsEmpty: false) }
    static let keepingUnwind = ReferenceStage(
        name: "keepingUnwind", stage: ["$unwind": ["path": "$t", "preserveNullAndEmptyArrays": true]]
    ) { unwound($0, keepsEmpty: true) }

    private static func unwound(_ input: [Document], keepsEmpty: Bool) -> [Document] {
        input.flatMap { document -> [Document] in
            guard case .array(let elements)? = document["t"] else {
                return keepsEmpty || orNull(document["t"]) != .null ? [document] : []
            }
            func with(_ value: Value?) -> Document {
                var one = document
                one["t"] = value
                return one
            }
            if elements.isEmpty { return keepsEmpty ? [with(nil)] : [] }
            return elements.values.map { with($0) }
        }
    }

    // MARK: All of the input first

    private static func groups(_ input: [Document], by key: (Document) -> Value) -> [(key: Value, members: [Document])]
    {
        var groups: [(key: Value, members: [Document])] = []
        // By the text of the key: those of the tests print as they differ.
        var places: [String: Int] = [:]
        for document in input {
            let key = key(document)
            if let place = places["\(key)"] {
                groups[place].members.append(document)
            } else {
                places["\(key)"] = groups.count
                groups.append((key, [document]))
            }
        }
        return groups
    }

    static let group = ReferenceStage(
        name: "group", stage: ["$group": ["_id": "$a", "n": ["$sum": 1], "first": ["$first": "$_id"]]]
    ) {
        groups($0) { orNull($0["a"]) }.map {
            ["_id": $0.key, "n": .int32(Int32($0.members.count)), "first": orNull($0.members[0]["_id"])]
        }
    }
    static let sortByCount = ReferenceStage(name: "sortByCount", stage: ["$sortByCount": "$a"]) {
        sorted(groups($0) { orNull($0["a"]) }) { $1.members.count - $0.members.count }.map {
            ["_id": $0.key, "count": .int32(Int32($0.members.count))]
        }
    }
    static let bucket = ReferenceStage(
        name: "bucket", stage: ["$bucket": ["groupBy": "$a", "boundaries": [0, 2, 4], "default": "other"]]
    ) {
        let found = groups($0) { document -> Value in
            guard case .int32(let a)? = document["a"], (0..<4).contains(a) else { return "other" }
            return .int32(a / 2 * 2)
        }
        return sorted(found) { order($0.key, $1.key) }.map {
            ["_id": $0.key, "count": .int32(Int32($0.members.count))]
        }
    }
    static let sort = ReferenceStage(name: "sort", stage: ["$sort": ["a": -1, "_id": 1]]) {
        sorted($0) {
            let byA = order(orNull($1["a"]), orNull($0["a"]))
            return byA != 0 ? byA : order(orNull($0["_id"]), orNull($1["_id"]))
        }
    }
    static let count = ReferenceStage(name: "count", stage: ["$count": "n"]) {
        $0.isEmpty ? [] : [["n": .int32(Int32($0.count))]]
    }
    /// As many as there are, and more: which those are is then no matter of chance.
    static let sample = ReferenceStage(name: "sample", stage: ["$sample": ["size": 1_000_000]]) { $0 }

    // MARK: Other collections

    static let lookup = ReferenceStage(
        name: "lookup", stage: ["$lookup": ["from": "stock", "localField": "a", "foreignField": "n", "as": "s"]]
    ) {
        $0.map { document in
            var joined = document
            joined["s"] = .array(stock.filter { $0["n"] == document["a"] }.map { .document($0) })
            return joined
        }
    }
    static let lookupByPipeline = ReferenceStage(
        name: "lookupByPipeline",
        stage: [
            "$lookup": [
                "from": "stock", "let": ["v": "$a"],
                "pipeline": [
                    ["$match": ["$expr": ["$gte": ["$_id", "$$v"]]]], ["$unionWith": "stock"], ["$limit": 2],
                ],
                "as": "p",
            ]
        ]
    ) {
        $0.map { document in
            let found = stock.filter { order(orNull($0["_id"]), orNull(document["a"])) >= 0 } + stock
            var joined = document
            joined["p"] = .array(found.prefix(2).map { .document($0) })
            return joined
        }
    }
    static let union = ReferenceStage(
        name: "union", stage: ["$unionWith": ["coll": "stock", "pipeline": [["$match": ["n": 1]]]]]
    ) { $0 + stock.filter { $0["n"] == 1 } }

    static let facet = ReferenceStage(
        name: "facet",
        stage: [
            "$facet": [
                "x": [match.stage, limit.stage], "y": [unwind.stage, count.stage],
                "z": [lookup.stage, skip.stage, limit.stage], "w": [union.stage, group.stage],
            ]
        ]
    ) { input in
        func result(_ stages: ReferenceStage...) -> Value {
            .array(stages.reduce(input) { $1.apply($0) }.map { .document($0) })
        }
        return [
            [
                "x": result(match, limit), "y": result(unwind, count), "z": result(lookup, skip, limit),
                "w": result(union, group),
            ]
        ]
    }
}

/// A missing value as null.
private func orNull(_ value: Value?) -> Value { value ?? .null }

/// The order of what the tests sort by: null, integers, text.
private func order(_ a: Value, _ b: Value) -> Int {
    func rank(_ value: Value) -> (Int, Int32) {
        switch value {
        case .null: (0, 0)
        case .int32(let number): (1, number)
        default: (2, 0)
        }
    }
    let (x, y) = (rank(a), rank(b))
    return x == y ? 0 : x < y ? -1 : 1
}

/// Equal ones keep their order.
private func sorted<T>(_ list: [T], _ order: (T, T) -> Int) -> [T] {
    list.enumerated().sorted {
        let difference = order($0.element, $1.element)
        return difference != 0 ? difference < 0 : $0.offset < $1.offset
    }.map { $0.element }
}
