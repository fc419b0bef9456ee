import BSON
import Core

/// A path of an update operator, checked and split: names, `$`, `$[]` and `$[identifier]`.
struct UpdatePath {
    enum Component: Equatable {
        case name([UInt8])
        /// `$`: the element that the query matched.
        case positional
        /// `$[]` (an empty identifier) or `$[identifier]`.
        case elements(identifier: String)
    }

    let dotted: String
    let components: [Component]

    init(_ dotted: String) throws(ServerError) {
        guard !dotted.isEmpty else { throw ServerError(.emptyFieldName, "An empty update path is not valid.") }
        var components: [Component] = []
        for part in dotted.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            guard !part.isEmpty else {
                throw ServerError(
                    .emptyFieldName, "The update path '\(dotted)' contains an empty field name, which is not allowed.")
            }
            components.append(try UpdatePath.component(Array(part), in: dotted, isFirst: components.isEmpty))
        }
        guard components.count <= Limits.pathComponentsMax else {
            throw ServerError(.overflow, "The update path has more than \(Limits.pathComponentsMax) components")
        }
        guard components.filter({ $0 == .positional }).count <= 1 else {
            throw ServerError(
                .badValue, "Too many positional (i.e. '$') elements found in path '\(dotted)'")
        }
        self.dotted = dotted
        self.components = components
    }

    private static func component(
        _ name: [UInt8], in dotted: String, isFirst: Bool
    ) throws(ServerError) -> Component {
        guard name.first == UInt8(ascii: "$") else { return .name(name) }
        let text = String(decoding: name, as: UTF8.self)
        let isElements = name.count >= 3 && name[1] == UInt8(ascii: "[") && name.last == UInt8(ascii: "]")
        guard name.count == 1 || isElements else {
            // Below the top a name may begin so.
            if !isFirst { return .name(name) }
            throw ServerError(
                .dollarPrefixedFieldName,
                "The dollar ($) prefixed field '\(text)' in '\(dotted)' is not valid for storage.")
        }
        guard !isFirst else {
            let kind = name.count == 1 ? "positional (i.e. '$')" : "array filter"
            throw ServerError(.badValue, "Cannot have \(kind) element in the first position in path '\(dotted)'")
        }
        return name.count == 1 ? .positional : .elements(identifier: String(text.dropFirst(2).dropLast()))
    }

    /// Whether the path names no array element by a rule.
    var isStatic: Bool {
        components.allSatisfy { if case .name = $0 { true } else { false } }
    }
}

/// The index that a field name means in an array: decimal digits, with zeros in front or not.
func arrayIndex(_ name: [UInt8]) -> Int? {
    guard !name.isEmpty, name.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
    let digits = name.drop { $0 == UInt8(ascii: "0") }
    guard digits.count <= 9 else { return nil }
    return digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
}
