public import BSON
import CHash

/// What queries that differ in constants only have in common, as hashes that `explain` shows. The hashes are this
/// server's own; MongoDB's change from version to version.
public enum QueryShape {
    // MARK: The shape of a command

    /// `queryShapeHash`: of all that a command asks for, the order of fields included. `filter` is that of the command
    /// in normal form.
    public static func hash(command: DocumentView, filter: Document?) -> String {
        let shape = Document { writer in
            for element in command {
                switch element.key {
                case "find", "aggregate", "count", "distinct", "hint", "collation", "key", "sort":
                    writer.append(element.key, element.value)
                case "filter", "query":
                    writer.append(
                        element.key.string,
                        filter.map { Value.document(conditions($0, isPlan: false)) } ?? literals(Value(element.value)))
                case "pipeline", "let", "projection":
                    writer.append(element.key.string, literals(Value(element.value)))
                case "skip", "limit": writer.append(element.key.string, .string("?number"))
                default: continue
                }
            }
        }
        return (0..<4).map { hexadecimal(hash(shape, seed: $0), digits: 16) }.joined()
    }

    /// A value with its constants replaced by their types; paths and the names of fields and operators stay.
    private static func literals(_ value: Value) -> Value {
        switch value {
        case .string(let text): return text.utf8.first == UInt8(ascii: "$") ? value : .string("?string")
        case .document(let document):
            return .document(
                Document { writer in
                    for field in document.fields { writer.append(field.key, literals(field.value)) }
                })
        case .array: return .array((value.asArray ?? []).map { literals($0) })
        default: return .string("?" + (value.type.isNumber ? "number" : value.type.operatorName))
        }
    }

    // MARK: The shape of a plan

    /// `planCacheShapeHash`: of what decides about plans, in an order of its own.
    public static func planHash(
        filter: Document, sort: Document?, projection: Document?, collation: Document?, stages: [Document] = []
    ) -> String {
        let shape = Document { writer in
            writer.append("filter", conditions(filter, isPlan: true))
            if let sort, !sort.isEmpty { writer.append("sort", sort) }
            if let projection, !projection.isEmpty {
                writer.array("projection") { array in
                    let fields = projection.fields.map { [$0.key: $0.value] as Document }
                    for field in ordered(fields) { array.append(field) }
                }
            }
            if let collation, !collation.isEmpty { writer.append("collation", collation) }
            writer.array("stages") { array in
                for stage in stages where planned.contains(stage.keys.first ?? "") {
                    if case .document(let shape) = literals(.document(stage)) { array.append(shape) }
                }
            }
        }
        return hexadecimal(hash(shape, seed: 0) & 0xFFFF_FFFF, digits: 8)
    }

    /// The stages that decide about plans too.
    private static let planned: Set<String> = [
        "$group", "$lookup", "$bucket", "$replaceRoot", "$replaceWith", "$project", "$sort", "$count", "$sortByCount",
        "$densify", "$setWindowFields",
    ]

    /// A filter in normal form without its constants. In the shape of a plan the order of conditions does not count.
    private static func conditions(_ filter: Document, isPlan: Bool) -> Document {
        Document { writer in
            for field in filter.fields {
                switch field.key {
                case "$and", "$or", "$nor":
                    let branches = (field.value.asArray ?? []).map { branch -> Document in
                        guard case .document(let document) = branch else { return Document() }
                        return conditions(document, isPlan: isPlan)
                    }
                    writer.array(field.key) { array in
                        for branch in isPlan ? ordered(branches) : branches { array.append(branch) }
                    }
                case "$expr": writer.append(field.key, isPlan ? .null : literals(field.value))
                case "$jsonSchema", "$exists": writer.append(field.key, field.value)
                case "$type": writer.append(field.key, isPlan ? .null : field.value)
                case "$in":
                    let count = field.value.asArray?.count ?? 0
                    writer.append(field.key, isPlan ? .int32(Int32(clamping: count)) : .string("?array"))
                case let name where name.utf8.first == UInt8(ascii: "$") && name != "$not" && name != "$elemMatch":
                    writer.append(name, isPlan ? .null : literals(field.value))
                default:
                    if case .document(let inner) = field.value {
                        writer.append(field.key, .document(conditions(inner, isPlan: isPlan)))
                    } else {
                        writer.append(field.key, isPlan ? .null : literals(field.value))
                    }
                }
            }
        }
    }

    private static func ordered(_ documents: [Document]) -> [Document] {
        documents.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    }

    private static func hash(_ shape: Document, seed: UInt64) -> UInt64 {
        shape.withView { view in chash_xxh3_64_seeded(view.bytes.baseAddress, view.bytes.count, seed) }
    }

    private static func hexadecimal(_ number: UInt64, digits: Int) -> String {
        let text = String(number, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
}
