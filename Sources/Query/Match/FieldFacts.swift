import BSON
import Core

/// Why the values at a path do not satisfy an operator, in MongoDB's words.
struct FieldFacts {
    let path: String
    let operation: String
    let document: DocumentView

    /// More values than these are not listed.
    private static let valuesMax = 10

    private struct Wording {
        /// Why the operator does not hold, and why it should not have held.
        let fails: String
        let succeeds: String
        /// The types that it is about; empty for all.
        var types: [String] = []
        /// Whether it looks at the elements of an array.
        var isOfElements = true
    }

    private var wording: Wording {
        let integers = ["decimal", "double", "int", "long"]
        switch operation {
        case "$eq", "$gt", "$gte", "$lt", "$lte":
            return Wording(fails: "comparison failed", succeeds: "comparison succeeded")
        case "$ne": return Wording(fails: "comparison succeeded", succeeds: "comparison failed")
        case "$in":
            return Wording(fails: "no matching value found in array", succeeds: "matching value found in array")
        case "$nin":
            return Wording(fails: "matching value found in array", succeeds: "no matching value found in array")
        case "$type": return Wording(fails: "type did not match", succeeds: "type did match")
        case "$regex":
            return Wording(
                fails: "regular expression did not match", succeeds: "regular expression did match",
                types: ["regex", "string", "symbol"])
        case "$mod":
            return Wording(
                fails: "$mod did not evaluate to expected remainder",
                succeeds: "$mod did evaluate to expected remainder",
                types: integers)
        case "$size":
            return Wording(
                fails: "array length was not equal to given size", succeeds: "array length was equal to given size",
                types: ["array"], isOfElements: false)
        case "$all":
            return Wording(
                fails: "array did not contain all specified values", succeeds: "array did contain all specified values",
                isOfElements: false)
        case "$elemMatch":
            return Wording(
                fails: "array did not satisfy the child predicate", succeeds: "array did satisfy the child predicate",
                types: ["array"], isOfElements: false)
        case let name where name.utf8.starts(with: "$bits".utf8):
            return Wording(
                fails: "bitwise operator failed to match", succeeds: "bitwise operator matched successfully",
                types: ["binData"] + integers)
        default: return Wording(fails: "expression did not match", succeeds: "expression did match")
        }
    }

    /// `reason` and what was considered.
    func reason(_ operand: Value, isNegated: Bool) -> Document {
        if operation == "$exists" {
            return ["reason": operand.truth != isNegated ? "path does not exist" : "path does exist"]
        }
        let wording = wording
        let values = values(ofElements: wording.isOfElements)
        let isTurned = isNegated != (operation == "$ne" || operation == "$nin")
        if values.isEmpty, !isTurned { return ["reason": "field was missing"] }
        let types = values.map { $0.type.operatorName }
        let isOfWrongType = !isTurned && !wording.types.isEmpty && !types.contains { wording.types.contains($0) }
        var details: Document = [
            "reason": .string(isOfWrongType ? "type did not match" : isNegated ? wording.succeeds : wording.fails)
        ]
        appendConsidered(values, to: &details)
        guard isOfWrongType || operation == "$type" else { return details }
        if let type = types.first, Set(types).count == 1 {
            details.append("consideredType", .string(type))
        } else if !types.isEmpty {
            details.append("consideredTypes", .strings(Set(types).sorted()))
        }
        if wording.types.count == 1 {
            details.append("expectedType", .string(wording.types[0]))
        } else if !wording.types.isEmpty {
            details.append("expectedTypes", .strings(wording.types))
        }
        return details
    }

    private func appendConsidered(_ values: [Value], to details: inout Document) {
        if values.count == 1 {
            details.append("consideredValue", values[0])
        } else if !values.isEmpty {
            details.append("consideredValues", .array(Array(values.prefix(FieldFacts.valuesMax))))
            if values.count > FieldFacts.valuesMax { details.append("consideredValuesTruncated", true) }
        }
    }

    /// The values at the path, and one more than are listed where there are more.
    private func values(ofElements: Bool) -> [Value] {
        var values: [Value] = []
        _ = CompiledPath(path).visit(document, expandsLeaf: ofElements) { value in
            if let value { values.append(Value(value)) }
            return values.count > FieldFacts.valuesMax
        }
        return values
    }
}
