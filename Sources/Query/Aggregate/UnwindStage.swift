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
final class UnwindStage: StageExecution {
    private let source: any StageExecution
    private let specification: UnwindSpecification
    /// The document being unwound, its array, and what of it is left.
    private let current = ByteBuffer()
    private var elements: DocumentView.Iterator?
    private var index: Int64 = 0
    private let output = ByteBuffer()
    private let indexed = ByteBuffer()

    init(_ source: any StageExecution, _ specification: UnwindSpecification) {
        self.source = source
        self.specification = specification
    }

    func next() throws(ServerError) -> StageOutput {
        while true {
            if let element = elements?.next() {
                index += 1
                let document = DocumentView(base: UnsafeRawPointer(current.base))
                return .document(write(document, element.value, index: .int64(index - 1)))
            }
            elements = nil
            let next = try source.next()
            guard case .document(let document) = next else { return next }
            let value = find(document)
            switch value?.type {
            case .array:
                guard let array = value?.asArray, !array.isEmpty else {
                    guard specification.keepsEmpty else { continue }
                    return .document(write(document, nil, index: .null))
                }
                // The input is only valid now, and its elements are asked for one by one.
                current.removeAll(keeping: 1 << 20)
                current.append(document.bytes)
                let copy = DocumentView(base: UnsafeRawPointer(current.base))
                elements = find(copy)?.asArray?.makeIterator()
                index = 0
            case nil, .null, .undefined:
                guard specification.keepsEmpty else { continue }
                return .document(write(document, value, index: .null))
            default: return .document(write(document, value, index: .null))
            }
        }
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

    private func write(_ document: DocumentView, _ value: ValueView?, index: Value) -> DocumentView {
        output.removeAll(keeping: 1 << 20)
        set(specification.path.components[...], value, in: document, DocumentWriter(startingIn: output))
        let unwound = DocumentView(base: UnsafeRawPointer(output.base))
        guard let path = specification.indexPath else { return unwound }
        indexed.removeAll(keeping: 1 << 20)
        index.withView { index in
            set(path.components[...], index, in: unwound, DocumentWriter(startingIn: indexed))
        }
        return DocumentView(base: UnsafeRawPointer(indexed.base))
    }

    /// Writes a document with the value at a path set, or removed.
    private func set(
        _ path: ArraySlice<[UInt8]>, _ value: ValueView?, in document: DocumentView?, _ writer: DocumentWriter
    ) {
        guard let name = path.first else { return writer.finish() }
        var isDone = false
        func place(_ existing: DocumentView?) {
            isDone = true
            name.withUnsafeBytes { bytes in
                if path.count > 1 {
                    if value == nil, existing == nil { return }
                    set(path.dropFirst(), value, in: existing, writer.begin(.document, bytes))
                } else if let value {
                    writer.append(KeyView(base: bytes.start, count: bytes.count), value)
                }
            }
        }
        if let document {
            for element in document {
                if !isDone, element.key.count == name.count, element.key.bytes.elementsEqual(name) {
                    place(element.value.asDocument)
                } else {
                    writer.append(element.key, element.value)
                }
            }
        }
        if !isDone { place(nil) }
        writer.finish()
    }
}
