import BSON
import Core

/// What `$unwind` says: the array's path and how to treat documents without one.
struct UnwindSpecification {
    let path: ExpressionPath
    private(set) var indexPath: ExpressionPath?
    private(set) var keepsEmpty = false

    init(_ argument: ValueView) throws(ServerError) {
        if let text = argument.asString {
            path = try UnwindSpecification.path(text)
            return
        }
        guard let document = argument.asDocument else {
            throw ServerError(
                location: 15981,
                "expected either a string or an object as specification for $unwind stage, got "
                    + argument.type.operatorName)
        }
        var path: ExpressionPath?
        for element in document {
            let value = element.value
            switch element.key {
            case "path":
                guard let text = value.asString else {
                    throw ServerError(
                        location: 28808,
                        "expected a string as the path for $unwind stage, got \(value.type.operatorName)")
                }
                path = try UnwindSpecification.path(text)
            case "preserveNullAndEmptyArrays":
                guard let flag = value.asBool else {
                    throw ServerError(
                        location: 28809,
                        "expected a boolean for the preserveNullAndEmptyArrays option to $unwind stage, got "
                            + value.type.operatorName)
                }
                keepsEmpty = flag
            case "includeArrayIndex":
                guard let text = value.asString, !text.isEmpty else {
                    throw ServerError(
                        location: 28810,
                        "expected a non-empty string for the includeArrayIndex  option to $unwind stage, got "
                            + value.type.operatorName)
                }
                guard text.utf8.first != UInt8(ascii: "$") else {
                    throw ServerError(
                        location: 28822,
                        "includeArrayIndex option to $unwind stage should not be prefixed with a '$': \(text)")
                }
                indexPath = try ExpressionPath(text)
            default:
                throw ServerError(location: 28811, "unrecognized option to $unwind stage: \(element.key.string)")
            }
        }
        guard let path else { throw ServerError(location: 28812, "no path specified to $unwind stage") }
        self.path = path
    }

    private static func path(_ text: String) throws(ServerError) -> ExpressionPath {
        guard !text.isEmpty else { throw ServerError(location: 28812, "no path specified to $unwind stage") }
        guard text.utf8.first == UInt8(ascii: "$") else {
            throw ServerError(
                location: 28818, "path option to $unwind stage should be prefixed with a '$': \(text)")
        }
        return try ExpressionPath(String(text.dropFirst()))
    }
}

/// `$unwind`: a document for each element of an array.
final class UnwindStage: InnerStage {
    let source: any StageExecution
    private let specification: UnwindSpecification
    private let clock: PipelineClock
    /// The document being unwound, and what is left of its array. The source is not asked before the array's end, so
    /// both are valid.
    private var current: (document: DocumentView, elements: DocumentView.Iterator)?
    private var index: Int64 = 0
    private let output = ByteBuffer()
    private let indexed = ByteBuffer()

    init(_ source: any StageExecution, _ specification: UnwindSpecification, _ clock: PipelineClock) {
        self.source = source
        self.specification = specification
        self.clock = clock
    }

    func next() throws -> StageOutput {
        while true {
            if current != nil {
                if clock.isOver() { return .yield }
                if let (document, element) = nextElement() {
                    index += 1
                    return .document(numbered(replacing(element, in: document), .int64(index - 1)))
                }
            }
            let next = try source.next()
            guard case .document(let document) = next else { return next }
            let value = find(document)
            switch value?.type {
            case .array:
                guard let array = value?.asArray, !array.isEmpty else {
                    guard specification.keepsEmpty else { continue }
                    return .document(numbered(replacing(nil, in: document), .null))
                }
                current = (document, array.makeIterator())
                index = 0
            case nil, .null, .undefined:
                guard specification.keepsEmpty else { continue }
                return .document(numbered(document, .null))
            default: return .document(numbered(document, .null))
            }
        }
    }

    /// The next element with its document; nil, and none of the two any more, at the end of the array.
    private func nextElement() -> (DocumentView, ValueView)? {
        guard let element = current?.elements.next(), let document = current?.document else {
            current = nil
            return nil
        }
        return (document, element.value)
    }

    /// The value at the path, through documents only.
    private func find(_ document: DocumentView) -> ValueView? {
        var document = document
        for (index, name) in specification.path.components.enumerated() {
            let found = name.withUnsafeBytes { document.find($0.start, count: $0.count) }
            guard let found, index + 1 < specification.path.components.count else { return found }
            guard let nested = found.asDocument else { return nil }
            document = nested
        }
        return nil
    }

    /// The document with the value at the path replaced, or removed.
    private func replacing(_ value: ValueView?, in document: DocumentView) -> DocumentView {
        output.removeAll(keeping: 1 << 20)
        NestedField(specification.path).set(value, in: document, to: output)
        return DocumentView(base: UnsafeRawPointer(output.base))
    }

    /// The document with its place in the array, when that was asked for.
    private func numbered(_ document: DocumentView, _ index: Value) -> DocumentView {
        guard let path = specification.indexPath else { return document }
        indexed.removeAll(keeping: 1 << 20)
        index.withView { NestedField(path).set($0, in: document, to: indexed) }
        return DocumentView(base: UnsafeRawPointer(indexed.base))
    }
}
