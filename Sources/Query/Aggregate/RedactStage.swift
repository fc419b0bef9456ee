import BSON
import Core

/// `$redact`: an expression says of each document, and of those in it, whether it goes, stays whole, or is looked into.
///
/// What it says is gathered first, document by document, and can be interrupted between any two; then the document is
/// written.
final class RedactStage: InnerStage {
    /// What the expression says: the values of `$$PRUNE`, `$$KEEP` and `$$DESCEND`.
    enum Decision: String { case prune, keep, descend }

    let source: any StageExecution
    private let expression: Expression
    private let budget: EvaluationBudget?
    private let clock: PipelineClock
    private let buffer = ByteBuffer()
    /// The document under way; the source is not asked before its end.
    private var current: (view: DocumentView, whole: Document)?
    /// Documents in it that have not been decided, the next one last.
    private var pending: [DocumentView] = []
    /// In the order in which documents begin.
    private var decisions: [Decision] = []

    init(_ source: any StageExecution, _ expression: Expression, _ clock: PipelineClock, _ budget: EvaluationBudget?) {
        self.source = source
        self.expression = expression
        self.clock = clock
        self.budget = budget
    }

    /// Compiles the stage's expression.
    static func compile(_ argument: ValueView, context: QueryContext) throws(ServerError) -> Expression {
        var context = context
        for decision in [Decision.prune, .keep, .descend] {
            context.variables[decision.rawValue.uppercased()] = .string(decision.rawValue)
        }
        return try Expression(argument, context: context, hasWhole: true)
    }

    func next() throws -> StageOutput {
        while true {
            if current == nil {
                let output = try source.next()
                guard case .document(let document) = output else { return output }
                current = (document, document.document)
                pending = [document]
                decisions = []
            }
            guard let (view, whole) = current else { continue }
            guard try decide(whole) else { return .yield }
            current = nil
            if decisions.first == .prune { continue }
            buffer.removeAll(keeping: 1 << 20)
            var index = 0
            _ = write(view, &index, name: nil, nil)
            return .document(DocumentView(base: UnsafeRawPointer(buffer.base)))
        }
    }

    /// Decides what is pending; false when the slice was used up.
    private func decide(_ whole: Document) throws(ServerError) -> Bool {
        while let part = pending.last {
            let decision = try budget.interruptibly { () throws(ServerError) in try decide(part, whole) }
            guard let decision else { return false }
            decisions.append(decision)
            pending.removeLast()
            if decision == .descend {
                let from = pending.count
                RedactStage.collect(part, &pending)
                pending[from...].reverse()
            }
            if decisions.count % 64 == 0, clock.isOverNow(), !pending.isEmpty { return false }
        }
        return true
    }

    private func decide(_ part: DocumentView, _ whole: Document) throws(ServerError) -> Decision {
        let value = try expression.evaluate(root: part, whole: whole)
        guard case .string(let text) = value, let decision = Decision(rawValue: text) else {
            throw ServerError(
                location: 17053,
                "$redact's expression should not return anything aside from the variables $$KEEP, $$DESCEND, and "
                    + "$$PRUNE, but returned \(value.map { ValueText.text($0) } ?? "nothing")")
        }
        return decision
    }

    /// The documents right inside of one, and inside of arrays there.
    private static func collect(_ part: DocumentView, _ found: inout [DocumentView]) {
        for element in part {
            switch element.value.type {
            case .document: found.append(DocumentView(base: element.value.pointer))
            case .array: collect(DocumentView(base: element.value.pointer), &found)
            default: break
            }
        }
    }

    /// Writes a document as was decided; `name` and `writer` are nil for the outermost. False when it goes.
    private func write(_ part: DocumentView, _ index: inout Int, name: KeyView?, _ writer: DocumentWriter?) -> Bool {
        let decision = decisions[index]
        index += 1
        switch decision {
        case .prune: return false
        case .keep:
            if let writer, let name {
                writer.append(name, ValueView(type: .document, pointer: part.base, byteCount: part.byteCount))
            } else {
                buffer.append(part.bytes)
            }
        case .descend:
            let inner =
                if let writer, let name {
                    writer.begin(.document, name.bytes)
                } else {
                    DocumentWriter(startingIn: buffer)
                }
            for element in part { write(element.value, &index, name: element.key, inner) }
            inner.finish()
        }
        return true
    }

    private func write(_ value: ValueView, _ index: inout Int, name: KeyView, _ writer: DocumentWriter) {
        switch value.type {
        case .document: _ = write(DocumentView(base: value.pointer), &index, name: name, writer)
        case .array: write(array: DocumentView(base: value.pointer), &index, writer.begin(.array, name.bytes))
        default: writer.append(name, value)
        }
    }

    private func write(array: DocumentView, _ index: inout Int, _ writer: DocumentWriter) {
        var count = 0
        for element in array {
            var name = String(count)
            name.withUTF8 { utf8 in
                let bytes = UnsafeRawBufferPointer(utf8)
                let key = KeyView(base: bytes.start, count: bytes.count)
                switch element.value.type {
                case .document:
                    if write(DocumentView(base: element.value.pointer), &index, name: key, writer) { count += 1 }
                default:
                    write(element.value, &index, name: key, writer)
                    count += 1
                }
            }
        }
        writer.finish()
    }
}
