import BSON
import Core

// Filters, updates, stages, projections and indexes.
extension Generator {
    mutating func filter(depth: Int = 0) -> Document {
        var filter = Document()
        for _ in 0..<(1 + random.below(3)) {
            if depth < 3, random.oneIn(5) {
                filter.append(
                    one(["$and", "$or", "$nor"]), .array((0..<2).map { _ in .document(self.filter(depth: depth + 1)) }))
            } else if random.oneIn(8) {
                filter.append("$expr", expression(depth: 2))
            } else {
                filter.append(path(), condition(depth: depth))
            }
        }
        return filter
    }

    private mutating func condition(depth: Int) -> Value {
        if random.oneIn(5) { return value(depth: 2) }
        var document = Document()
        for _ in 0..<(1 + random.below(2)) {
            let name = one(vocabulary.fieldOperators)
            switch random.below(7) {
            case 0 where depth < 3: document.append(name, condition(depth: depth + 1))
            case 1 where depth < 3: document.append(name, .document(filter(depth: depth + 1)))
            case 2, 3: document.append(name, number())
            case 4: document.append(name, .array(array(depth: 2)))
            case 5: document.append(name, .string(text()))
            default: document.append(name, value(depth: 2))
            }
        }
        return .document(document)
    }

    mutating func projection() -> Document {
        var document = Document()
        for _ in 0..<(1 + random.below(3)) {
            let name = random.oneIn(9) ? path() + ".$" : path()
            switch random.below(7) {
            case 0...1: document.append(name, .int32(Int32(random.below(2))))
            case 2: document.append(name, ["$slice": random.oneIn(2) ? number() : .array([number(), number()])])
            case 3: document.append(name, ["$elemMatch": .document(filter(depth: 2))])
            case 4: document.append(name, ["$meta": value(depth: 3)])
            default: document.append(name, expression(depth: 1))
            }
        }
        return document
    }

    mutating func update() -> Value {
        if random.oneIn(3) { return .array((0..<(1 + random.below(3))).map { _ in .document(stage(depth: 2)) }) }
        if random.oneIn(8) { return .document(document()) }
        var document = Document()
        for _ in 0..<(1 + random.below(2)) {
            document.append(one(vocabulary.updateOperators), .document(modifications()))
        }
        return .document(document)
    }

    private mutating func modifications() -> Document {
        var fields = Document()
        for _ in 0..<(1 + random.below(2)) {
            let path = self.path() + one(["", "", "", ".$", ".$[]", ".$[x]", ".$[].a", ".1500001", ".00", ".7"])
            switch random.below(8) {
            case 0, 1: fields.append(path, number())
            case 2:
                var each: Document = ["$each": .array(array(depth: 2))]
                if random.oneIn(2) { each.append("$slice", number()) }
                if random.oneIn(2) { each.append("$position", number()) }
                if random.oneIn(2) { each.append("$sort", random.oneIn(2) ? number() : [self.path(): 1]) }
                fields.append(path, .document(each))
            case 3: fields.append(path, [one(["and", "or", "xor"]): number()])
            case 4: fields.append(path, .array(array(depth: 2)))
            case 5: fields.append(path, .document(filter(depth: 2)))
            case 6: fields.append(path, .string(self.path()))
            default: fields.append(path, value(depth: 2))
            }
        }
        return fields
    }

    mutating func stage(depth: Int = 0) -> Document {
        let name = one(vocabulary.stages)
        let argument: Value
        switch name {
        case "$match": argument = .document(filter())
        case "$set", "$addFields", "$project":
            argument = random.oneIn(3) ? .document(projection()) : [path(): expression(), "x": expression(depth: 2)]
        case "$group": argument = .document(group())
        case "$sort": argument = [path(): random.oneIn(6) ? value() : .int32(one([1, -1]))]
        case "$limit", "$skip": argument = random.oneIn(2) ? number() : .int32(Int32(random.below(4)))
        case "$sample": argument = ["size": random.oneIn(2) ? number() : 2]
        case "$unwind":
            argument =
                random.oneIn(2)
                ? .string("$" + path())
                : [
                    "path": .string("$" + path()), "includeArrayIndex": .string(path()),
                    "preserveNullAndEmptyArrays": true,
                ]
        case "$bucket":
            argument = [
                "groupBy": expression(depth: 2), "boundaries": .array(array(depth: 2)), "default": value(depth: 2),
                "output": .document(group(hasKey: false)),
            ]
        case "$bucketAuto":
            var auto: Document = ["groupBy": expression(depth: 2), "buckets": random.oneIn(4) ? number() : 2]
            if random.oneIn(2) {
                auto.append("granularity", .string(one(["R5", "R80", "1-2-5", "E192", "POWERSOF2"])))
            }
            if random.oneIn(2) { auto.append("output", .document(group(hasKey: false))) }
            argument = .document(auto)
        case "$setWindowFields": argument = .document(windows())
        case "$densify": argument = .document(densify())
        case "$fill":
            let method: Value =
                random.oneIn(2) ? ["value": expression(depth: 2)] : ["method": .string(one(["linear", "locf"]))]
            argument = ["sortBy": [path(): 1], "output": [path(): method]]
        case "$redact":
            argument =
                random.oneIn(4)
                ? expression()
                : ["$cond": [expression(depth: 1), .string(one(["$$PRUNE", "$$KEEP"])), "$$DESCEND"]]
        case "$facet" where depth < 2:
            argument = [
                "x": .array((0..<(1 + random.below(2))).map { _ in .document(stage(depth: depth + 1)) }),
                "y": .array([.document(stage(depth: depth + 1))]),
            ]
        default: argument = random.oneIn(3) ? value() : random.oneIn(2) ? expression() : .string(path())
        }
        return [name: random.oneIn(20) ? value() : argument]
    }

    private mutating func group(hasKey: Bool = true) -> Document {
        var document = Document()
        if hasKey { document.append("_id", random.oneIn(3) ? .null : expression(depth: 2)) }
        for index in 0..<(1 + random.below(2)) {
            document.append("f\(index)", operation(one(vocabulary.accumulators), depth: 2))
        }
        return document
    }

    private mutating func windows() -> Document {
        var document = Document()
        if random.oneIn(2) { document.append("partitionBy", expression(depth: 2)) }
        if !random.oneIn(4) { document.append("sortBy", [path(): random.oneIn(5) ? -1 : 1]) }
        var output = Document()
        for index in 0..<(1 + random.below(2)) { output.append("w\(index)", .document(window())) }
        document.append("output", .document(output))
        return document
    }

    private mutating func window() -> Document {
        let units = ["week", "day", "hour", "second", "millisecond", "month", "year"]
        switch random.below(6) {
        case 0: return [one(["$rank", "$denseRank", "$documentNumber"]): .document(Document())]
        case 1:
            return [
                "$shift": [
                    "output": expression(depth: 2), "by": random.oneIn(4) ? number() : .int32(one([-1, 0, 1])),
                    "default": value(depth: 2),
                ]
            ]
        case 2: return [one(["$linearFill", "$locf", "$covariancePop"]): expression(depth: 2)]
        case 3: return ["$expMovingAvg": ["input": expression(depth: 2), one(["N", "alpha"]): number()]]
        default: break
        }
        var document: Document =
            random.oneIn(3)
            ? [one(["$derivative", "$integral"]): ["input": expression(depth: 2)]]
            : Document { $0.append(one(vocabulary.accumulators), expression(depth: 2)) }
        if random.oneIn(5) { return document }
        var frame = Document()
        let bounds: Value = .array([bound(), bound()])
        frame.append(random.oneIn(2) ? "documents" : "range", bounds)
        if random.oneIn(4) { frame.append("unit", .string(one(units))) }
        document.append("window", .document(frame))
        return document
    }

    private mutating func bound() -> Value {
        switch random.below(4) {
        case 0: .string(one(["unbounded", "current"]))
        case 1: number()
        default: .int32(one([-2, -1, 0, 1, 2]))
        }
    }

    private mutating func densify() -> Document {
        var range: Document = ["step": random.oneIn(3) ? number() : 1]
        if random.oneIn(3) { range.append("unit", .string(one(["day", "month", "second"]))) }
        range.append("bounds", random.oneIn(3) ? .array([number(), number()]) : .string(one(["full", "partition"])))
        var document: Document = ["field": .string(path()), "range": .document(range)]
        if random.oneIn(2) { document.append("partitionByFields", [.string(path())]) }
        return document
    }

    mutating func index() -> Document {
        var key = Document()
        for _ in 0..<(1 + random.below(3)) {
            key.append(path(), random.oneIn(8) ? value(depth: 3) : .int32(one([1, -1])))
        }
        var document: Document = ["key": .document(key), "name": "index", "v": 2]
        if random.oneIn(4) { document.append("partialFilterExpression", .document(filter(depth: 2))) }
        if random.oneIn(4) { document.append("sparse", true) }
        if random.oneIn(6) { document.append("expireAfterSeconds", number()) }
        return document
    }
}
