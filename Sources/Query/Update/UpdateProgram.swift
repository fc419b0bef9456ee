public import BSON
public import Core

/// A compiled update: a replacement document, a document of operators, or a pipeline.
public final class UpdateProgram {
    public enum Kind: Sendable { case replacement, modifiers, pipeline }

    private enum Body {
        case replacement(OwnedBytes)
        case modifiers(update: UpdateNode, insert: UpdateNode, filters: [String: Filter])
        case pipeline([any DocumentTransform])
    }

    public let kind: Kind
    /// Whether applying needs the matched array index, for `$` in a path.
    public let needsPosition: Bool
    private let body: Body
    /// Of what may take long on one document: pipelines, conditions on elements.
    private let budget: EvaluationBudget?
    private let verdicts: ElementVerdicts?
    /// Whether applying it may take long on one document, however it was found.
    public var mayTakeLong: Bool { budget != nil }
    /// Where a pipeline was interrupted: the document, and what the stages before that one made of it. They are not
    /// asked again, since `$rand` would make something else.
    private var interrupted: (document: Document, stage: Int, input: ByteBuffer)?

    /// Compiles `update`, the `u` of an update statement. Owns what it needs of it.
    public init(
        _ update: ValueView, arrayFilters: [DocumentView] = [], context: QueryContext
    ) throws(ServerError) {
        if let stages = update.asArray {
            guard arrayFilters.isEmpty else {
                throw ServerError(.failedToParse, "arrayFilters may not be specified for pipeline-style updates")
            }
            kind = .pipeline
            needsPosition = false
            body = .pipeline(try UpdateProgram.transforms(stages, context: context))
            budget = context.budget?.value
            verdicts = nil
            return
        }
        guard let document = update.asDocument else {
            throw ServerError(
                .failedToParse,
                "Update argument must be either an object or an array, but was \(update.type.operatorName)")
        }
        guard let first = document.first, first.key.isOperator else {
            try UpdateProgram.checkReplacement(document)
            kind = .replacement
            needsPosition = false
            body = .replacement(OwnedBytes(copying: document))
            budget = nil
            verdicts = nil
            return
        }
        var parser = UpdateParser(context: context)
        try parser.parse(document)
        let filters = try ArrayFilters(arrayFilters, context: context)
        try filters.check(used: parser.usedIdentifiers, update: document)
        kind = .modifiers
        needsPosition = parser.needsPosition
        body = .modifiers(update: parser.updateRoot, insert: parser.insertRoot, filters: filters.filters)
        verdicts = parser.hasConditions ? parser.verdicts : nil
        budget = verdicts == nil ? nil : context.budget?.value
    }

    /// The operators by the fields that they change; nil for other kinds of updates.
    var operators: UpdateNode? {
        if case .modifiers(let update, _, _) = body { update } else { nil }
    }

    private static func checkReplacement(_ document: DocumentView) throws(ServerError) {
        for element in document where element.key.isOperator {
            let name = element.key.string
            if ["$ref", "$id", "$db"].contains(name) { continue }
            throw ServerError(
                .dollarPrefixedFieldName,
                "The dollar ($) prefixed field '\(name)' in '\(name)' is not allowed in the context of an update's "
                    + "replacement document. Consider using an aggregation pipeline with $replaceWith.")
        }
    }

    /// Looks at the names of a pipeline's stages only.
    /// - Throws: 40324 for one that is none.
    public static func checkStageNames(_ stages: DocumentView) throws(ServerError) {
        for stage in stages {
            guard let name = stage.value.asDocument?.first?.key.string, !StageNames.all.contains(name) else { continue }
            throw StageNames.unrecognized(name)
        }
    }

    private static func transforms(
        _ stages: DocumentView, context: QueryContext
    ) throws(ServerError) -> [any DocumentTransform] {
        var transforms: [any DocumentTransform] = []
        for stage in stages {
            guard let document = stage.value.asDocument, let first = document.first, document.fieldCount == 1 else {
                throw ServerError(
                    location: 40323, "A pipeline stage specification object must contain exactly one field.")
            }
            let name = first.key.string
            guard let transform = try DocumentTransforms.compile(name, first.value, context: context) else {
                guard StageNames.all.contains(name) else { throw StageNames.unrecognized(name) }
                throw ServerError(.invalidOptions, "\(name) is not allowed to be used within an update")
            }
            transforms.append(transform)
            guard transforms.count <= Limits.pipelineStagesMax else { throw Pipeline.tooLong }
        }
        return transforms
    }

    /// Applies the update to `document` and appends the new document to `output`; true when it differs.
    ///
    /// `position` is the index of the array element that the query matched, for `$`. `isInsert` also applies
    /// `$setOnInsert`. On an error `output` is as before. Throws 66 for a changed `_id`, 17419 for a result that is too
    /// large, and the operators' own errors.
    public func apply(
        to document: DocumentView, position: Int? = nil, isInsert: Bool = false, into output: ByteBuffer
    ) throws(ServerError) -> Bool {
        let start = output.count
        do throws(ServerError) {
            try write(document, position: position, isInsert: isInsert, to: output)
            let result = DocumentView(base: UnsafeRawPointer(output.base + start))
            try check(result, against: document, isInsert: isInsert)
            return !result.bytes.isSame(as: document.bytes)
        } catch {
            output.truncate(to: start)
            throw error
        }
    }

    /// The same, for a caller who can come back with the same document: nil, with `output` as before, when the slice
    /// was used up meanwhile.
    public func applyInterruptibly(
        to document: DocumentView, position: Int? = nil, into output: ByteBuffer
    ) throws(ServerError) -> Bool? {
        try budget.interruptibly { () throws(ServerError) in
            try apply(to: document, position: position, into: output)
        }
    }

    private func write(
        _ document: DocumentView, position: Int?, isInsert: Bool, to output: ByteBuffer
    ) throws(ServerError) {
        switch body {
        case .replacement(let owned): UpdateProgram.replace(document, by: owned.view, to: output)
        case .modifiers(let update, let insert, let filters):
            let application = UpdateApplication(
                document: document, position: position, arrayFilters: filters, verdicts: verdicts)
            let writer = DocumentWriter(startingIn: output)
            verdicts?.begin(document)
            do throws(ServerError) {
                try application.writeFields(isInsert ? insert : update, of: document, to: writer)
            } catch {
                verdicts?.end(with: error, document)
                throw error
            }
            verdicts?.end(with: nil, document)
            writer.finish()
        case .pipeline(let transforms): try run(transforms, document, to: output)
        }
    }

    /// The replacement with the old `_id` in front; its own, when it has one, is checked to be equal later.
    private static func replace(_ old: DocumentView, by new: DocumentView, to output: ByteBuffer) {
        let writer = DocumentWriter(startingIn: output)
        if let id = new["_id"] ?? old["_id"] { writer.append("_id", id) }
        for element in new where !(element.key == "_id") { writer.append(element.key, element.value) }
        writer.finish()
    }

    private func run(
        _ transforms: [any DocumentTransform], _ document: DocumentView, to output: ByteBuffer
    ) throws(ServerError) {
        var (input, first) = (ByteBuffer(capacity: document.byteCount + 64), 0)
        if let interrupted, interrupted.document.withView({ $0.bytes.isSame(as: document.bytes) }) {
            (input, first) = (interrupted.input, interrupted.stage)
        } else {
            input.append(document.bytes)
        }
        interrupted = nil
        var next = ByteBuffer(capacity: document.byteCount + 64)
        for stage in first..<transforms.count {
            next.removeAll()
            do throws(ServerError) {
                try transforms[stage].apply(DocumentView(base: UnsafeRawPointer(input.base)), to: next)
            } catch {
                if error.isInterruption { interrupted = (document.document, stage, input) }
                throw error
            }
            try UpdateProgram.checkSize(next.count)
            swap(&input, &next)
        }
        // A pipeline may drop the `_id`, which then stays, or move it, and it always comes first.
        UpdateProgram.replace(document, by: DocumentView(base: UnsafeRawPointer(input.base)), to: output)
    }

    private static func checkSize(_ bytes: Int) throws(ServerError) {
        guard bytes <= Limits.documentBytesMax else {
            throw ServerError(
                location: 17419, "Resulting document after update is larger than \(Limits.documentBytesMax)")
        }
    }

    private func check(_ result: DocumentView, against old: DocumentView, isInsert: Bool) throws(ServerError) {
        try UpdateProgram.checkSize(result.byteCount)
        // Every level takes at least seven bytes, so a small document needs no walk.
        if result.byteCount > 7 * Limits.documentDepthMax {
            guard result.isNested(atMost: Limits.documentDepthMax) else {
                throw ServerError(
                    .overflow, "Document exceeds maximum nested object depth: \(Limits.documentDepthMax)")
            }
        }
        if let oldID = old["_id"] {
            guard let id = result["_id"], ValueView.compare(id, oldID) == 0 else {
                let isReplacement = kind != .modifiers
                throw ServerError(
                    .immutableField,
                    isReplacement
                        ? "After applying the update, the (immutable) field '_id' was found to have been altered to "
                            + "_id: \(result["_id"].map { ValueText.text($0) } ?? "missing")"
                        : "Performing an update on the path '_id' would modify the immutable field '_id'")
            }
        }
        if let id = result["_id"] { try UpdateProgram.checkID(id) }
    }

    /// What may not be an `_id`.
    static func checkID(_ id: ValueView) throws(ServerError) {
        switch id.type {
        case .array, .regex, .undefined:
            throw ServerError(.invalidIdField, "The '_id' value cannot be of type \(id.type.operatorName)")
        case .document:
            for element in DocumentView(base: id.pointer) where element.key.isOperator {
                throw ServerError(
                    .dollarPrefixedFieldName,
                    "The dollar ($) prefixed field '\(element.key.string)' in '_id.\(element.key.string)' is not valid "
                        + "for storage.")
            }
        default: break
        }
    }
}
