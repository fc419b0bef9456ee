import BSON
import Core

/// Typed reading of a configuration document: every complaint is `InvalidReplicaSetConfig` and names the field.
struct ConfigFields {
    let view: DocumentView
    /// Where the document stands in the configuration, ending in a dot.
    let path: String

    init(_ view: DocumentView, path: String) {
        self.view = view
        self.path = path
    }

    static func error(_ field: String, _ what: String) -> ServerError {
        ServerError(.invalidReplicaSetConfig, "replica set configuration: field '\(field)' \(what)")
    }
    func error(_ field: String, _ what: String) -> ServerError { Self.error(path + field, what) }

    func allowOnly(_ names: [String]) throws(ServerError) {
        var seen: [String] = []
        for element in view {
            let name = element.key.string
            guard names.contains(name) else { throw error(name, "is unknown") }
            guard !seen.contains(name) else { throw error(name, "appears twice") }
            seen.append(name)
        }
    }

    func requiredString(_ name: StaticString) throws(ServerError) -> String {
        guard let text = view[name]?.asString, !text.isEmpty else {
            throw error("\(name)", "is required and must be a string that is not empty")
        }
        return text
    }

    /// An integer of any BSON number type; required when `default` is nil.
    func integer(
        _ name: StaticString, default fallback: Int64?, in range: ClosedRange<Int64>
    ) throws(ServerError) -> Int64 {
        guard let value = view[name] else {
            if let fallback { return fallback }
            throw error("\(name)", "is required")
        }
        guard let number = value.asInteger else { throw error("\(name)", "must be an integer") }
        guard range.contains(number) else {
            throw error("\(name)", "must be from \(range.lowerBound) to \(range.upperBound), not \(number)")
        }
        return number
    }

    func number(
        _ name: StaticString, default fallback: Double, in range: ClosedRange<Double>
    ) throws(ServerError) -> Double {
        guard let value = view[name] else { return fallback }
        guard let number = value.asNumber else { throw error("\(name)", "must be a number") }
        guard range.contains(number) else {
            throw error("\(name)", "must be from \(range.lowerBound) to \(range.upperBound), not \(number)")
        }
        return number
    }

    /// A boolean, or a number as one, as old drivers send it.
    func bool(_ name: StaticString, default fallback: Bool) throws(ServerError) -> Bool {
        guard let value = view[name] else { return fallback }
        if let flag = value.asBool { return flag }
        guard let number = value.asNumber else { throw error("\(name)", "must be a boolean") }
        return number != 0
    }
}
