import BSON
import Core
import Query

/// The operators that there are, found out from the words in the source: each is tried in every role, and kept in those
/// in which it is not unknown. So an operator that is added is tried without being written down anywhere.
struct Vocabulary: Sendable {
    /// All words, for texts.
    let words: [String]
    private(set) var expressions: [String] = []
    private(set) var accumulators: [String] = []
    private(set) var stages: [String] = []
    private(set) var fieldOperators: [String] = []
    private(set) var updateOperators: [String] = []
    /// The names of arguments that an operator asks for.
    private(set) var arguments: [String: [String]] = [:]

    /// - Parameter words: the string literals of the source.
    init(_ words: [String]) {
        self.words = words.isEmpty ? ["a"] : words
        let context = QueryContext(randomSeed: 1)
        for name in words where name.hasPrefix("$") && name.utf8.count > 1 {
            if known({ _ = try Expression($0, context: context) }, [name: .document(Document())], 168) {
                expressions.append(name)
            }
            let group: Value = [["$group": ["_id": nil, "f": [name: 1]]]]
            if known({ _ = try Pipeline(DocumentView(base: $0.pointer), context: context) }, group, 15952) {
                accumulators.append(name)
            }
            let stage: Value = [[name: .document(Document())]]
            if known({ _ = try Pipeline(DocumentView(base: $0.pointer), context: context) }, stage, 40324, 238),
                isLocal(name)
            {
                stages.append(name)
            }
            if isFieldOperator(name, context) { fieldOperators.append(name) }
            if isUpdateOperator(name, context) { updateOperators.append(name) }
        }
        for name in Set(expressions + accumulators).sorted() { arguments[name] = learnArguments(name, context) }
    }

    /// The error that compiling `value` ends with; nil for none.
    private func failure(_ compile: (ValueView) throws -> Void, _ value: Value) -> ServerError? {
        (["v": value] as Document).withView { view in
            do {
                if let value = view.first?.value { try compile(value) }
                return nil
            } catch { return error as? ServerError }
        }
    }

    private func known(_ compile: (ValueView) throws -> Void, _ value: Value, _ unknown: Int32...) -> Bool {
        guard let error = failure(compile, value) else { return true }
        return !unknown.contains(error.code.rawValue)
    }

    /// Whether a stage looks at its input only.
    private func isLocal(_ name: String) -> Bool {
        (["v": [[name: .document(Document())]]] as Document).withView { view in
            guard let stages = view.first?.value.asArray,
                let pipeline = try? Pipeline(stages, context: QueryContext(randomSeed: 1))
            else { return true }
            return pipeline.externalStages.isEmpty
        }
    }

    private func isFieldOperator(_ name: String, _ context: QueryContext) -> Bool {
        let error = failure(
            { value in
                guard let filter = value.asDocument else { return }
                _ = try Filter(filter, context: context)
            }, ["a": [name: 1]])
        return error?.message.hasPrefix("unknown operator") != true
    }

    private func isUpdateOperator(_ name: String, _ context: QueryContext) -> Bool {
        failure({ _ = try UpdateProgram($0, context: context) }, [name: ["a": 1]])?.message.hasPrefix(
            "Unknown modifier")
            != true
    }

    /// The names that an operator's complaints name, until it complains no more.
    private func learnArguments(_ name: String, _ context: QueryContext) -> [String] {
        var learned: [String] = []
        for _ in 0..<16 {
            let argument = Document { for key in learned { $0.append(key, [1] as Value) } }
            guard let error = failure({ _ = try Expression($0, context: context) }, [name: .document(argument)]) else {
                break
            }
            let quoted = error.message.split(separator: "'", omittingEmptySubsequences: false).enumerated()
                .filter { $0.offset % 2 == 1 }.map { String($0.element) }
            let fresh = quoted.first { word in
                !learned.contains(word) && word.utf8.allSatisfy { $0 | 0x20 >= 97 && $0 | 0x20 <= 122 }
            }
            guard let fresh else { break }
            learned.append(fresh)
        }
        // What is optional is never complained of: the words that go with any of the others are tried.
        for word in words where !learned.isEmpty && !learned.contains(word) && !word.hasPrefix("$") {
            let argument = Document { for key in learned + [word] { $0.append(key, [1] as Value) } }
            let error = failure({ _ = try Expression($0, context: context) }, [name: .document(argument)])
            if error?.message.contains(word) != true { learned.append(word) }
            if learned.count > 12 { break }
        }
        return learned
    }
}
