import BSON
import Core

/// Which documents around one belong to its window.
enum WindowFrame {
    /// One end of a window.
    enum Bound<Distance> {
        case unbounded
        /// The document itself, or those that sort equal.
        case current
        case distance(Distance)
    }

    /// So many documents before and behind it.
    case documents(Bound<Int>, Bound<Int>)
    /// Those whose value in the sort is so far from the document's.
    case range(Bound<Value>, Bound<Value>)
    /// Those whose date in the sort is so many units from the document's.
    case time(Bound<Int64>, Bound<Int64>, DateUnit)
    /// All up to the first, from the document itself on, that has a value.
    case upToValue

    /// The whole partition: what a function without a window sees.
    static var whole: WindowFrame { .documents(.unbounded, .unbounded) }
    /// From the partition's beginning to the document.
    static var running: WindowFrame { .documents(.unbounded, .current) }

    /// Whether documents only come in, and none goes out, from one document to the next.
    var isOpenBelow: Bool {
        switch self {
        case .documents(.unbounded, _), .range(.unbounded, _), .time(.unbounded, _, _), .upToValue: true
        default: false
        }
    }
}

extension WindowFrame {
    /// Reads `window`.
    /// - Parameter sort: by which the stage sorts; nil when it does not.
    init(_ window: ValueView, sort: SortPattern?) throws(ServerError) {
        guard let document = window.asDocument else {
            throw ServerError(.failedToParse, "'window' field must be an object")
        }
        var documents: ValueView?
        var range: ValueView?
        var unitValue: ValueView?
        for element in document {
            switch element.key {
            case "documents": documents = element.value
            case "range": range = element.value
            case "unit": unitValue = element.value
            default:
                throw ServerError(
                    .failedToParse, "'window' field that is not 'documents', 'range' or 'unit': \(element.key.string)")
            }
        }
        guard documents == nil || range == nil else {
            throw ServerError(.failedToParse, "Window bounds can specify either 'documents' or 'range', not both.")
        }
        let unit = try unitValue.map { (value) throws(ServerError) in try WindowFrame.unit(value) }
        if let documents {
            guard unit == nil else {
                throw ServerError(.failedToParse, "Window bounds can only specify 'unit' with range-based bounds.")
            }
            self = try WindowFrame.documents(documents, sort)
        } else if let range {
            self = try WindowFrame.range(range, unit, sort)
        } else {
            guard unit == nil else {
                throw ServerError(.failedToParse, "Window bounds can only specify 'unit' with range-based bounds.")
            }
            self = .whole
        }
    }

    /// A unit of time.
    static func unit(_ value: ValueView) throws(ServerError) -> DateUnit {
        guard let text = value.asString, let unit = DateUnit(rawValue: text) else {
            throw ServerError(.failedToParse, "'unit' must be the name of a unit of time")
        }
        return unit
    }

    private static func bounds<Distance>(
        _ name: String, _ value: ValueView, _ distance: (ValueView) throws(ServerError) -> Distance
    ) throws(ServerError) -> (Bound<Distance>, Bound<Distance>) {
        guard let array = value.asArray else {
            throw ServerError(.failedToParse, "Window bounds must be a 2-element array: \(name)")
        }
        var bounds: [Bound<Distance>] = []
        for element in array {
            switch element.value.asString {
            case "unbounded": bounds.append(.unbounded)
            case "current": bounds.append(.current)
            case .some(let text):
                throw ServerError(
                    .failedToParse, "Window bounds must be 'unbounded', 'current', or a number, not '\(text)'")
            case nil: bounds.append(.distance(try distance(element.value)))
            }
        }
        guard bounds.count == 2 else {
            throw ServerError(.failedToParse, "Window bounds must be a 2-element array: \(name)")
        }
        return (bounds[0], bounds[1])
    }

    private static func documents(_ value: ValueView, _ sort: SortPattern?) throws(ServerError) -> WindowFrame {
        let (lower, upper) = try bounds("documents", value) { (value) throws(ServerError) -> Int in
            guard let number = value.asInteger, let offset = Int32(exactly: number) else {
                throw ServerError(.failedToParse, "Numeric document-based bounds must be an integer")
            }
            return Int(offset)
        }
        if case .unbounded = lower, case .unbounded = upper { return .documents(lower, upper) }
        guard sort != nil else {
            throw ServerError(location: 5_339_901, "Document-based bounds require a sortBy")
        }
        try check(lower, upper, zero: 0) { $0 <= $1 }
        return .documents(lower, upper)
    }

    private static func check<Distance>(
        _ lower: Bound<Distance>, _ upper: Bound<Distance>, zero: Distance, _ isInOrder: (Distance, Distance) -> Bool
    ) throws(ServerError) {
        func distance(_ bound: Bound<Distance>) -> Distance? {
            switch bound {
            case .unbounded: nil
            case .current: zero
            case .distance(let distance): distance
            }
        }
        guard let lower = distance(lower), let upper = distance(upper), !isInOrder(lower, upper) else { return }
        throw ServerError(location: 5_339_900, "Lower bound must not exceed upper bound")
    }

    private static func range(
        _ value: ValueView, _ unit: DateUnit?, _ sort: SortPattern?
    ) throws(ServerError) -> WindowFrame {
        let frame: WindowFrame
        if let unit {
            let (lower, upper) = try bounds("range", value) { (value) throws(ServerError) -> Int64 in
                guard let number = value.asInteger else {
                    throw ServerError(.failedToParse, "With 'unit', range-based bounds must be an integer")
                }
                return number
            }
            try check(lower, upper, zero: 0) { $0 <= $1 }
            frame = .time(lower, upper, unit)
        } else {
            let (lower, upper) = try bounds("range", value) { (value) throws(ServerError) -> Value in
                guard value.type.isNumber else {
                    throw ServerError(.failedToParse, "Range-based bounds expression must be a number")
                }
                return Value(value)
            }
            try check(lower, upper, zero: .int32(0)) { Value.order($0, $1) <= 0 }
            frame = .range(lower, upper)
        }
        guard let sort, sort.pattern.fields.count == 1 else {
            throw ServerError(location: 5_339_902, "Range-based bounds require sortBy a single field")
        }
        guard sort.pattern.fields[0].kind == .ascending else {
            throw ServerError(location: 8_947_401, "Range-based bounds require an ascending sortBy")
        }
        return frame
    }
}
