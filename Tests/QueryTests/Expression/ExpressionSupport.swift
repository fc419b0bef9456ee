import BSON
import Core
import Testing

@testable import Query

/// A document from Extended JSON with single quotes for double ones.
func json(_ text: String) throws -> Document {
    try Document(extendedJSON: text.replacing("'", with: "\""))
}

/// A value from the same.
func jsonValue(_ text: String) throws -> Value { try json("{'value': \(text)}")["value"] ?? .null }

extension ServerError {
    static func caught(_ body: () throws -> Void) -> ServerError? {
        do {
            try body()
            return nil
        } catch { return error as? ServerError }
    }
}

/// Compiles and evaluates an expression; nil when its value is missing.
func evaluate(
    _ expression: String, over root: String = "{}", context: QueryContext = QueryContext()
) throws -> Value? {
    let wrapped = try json("{'value': \(expression)}")
    let compiled = try wrapped.withView { view in
        try Expression(#require(view["value"]), context: context)
    }
    return try json(root).withView { try compiled.evaluate(root: $0) }
}

/// One row of a table of expressions: the expression, what it should be, and the document it is evaluated over.
struct ExpressionCase: CustomTestStringConvertible, Sendable {
    let expression: String
    let expected: String
    let root: String

    init(_ expression: String, _ expected: String, over root: String = "{}") {
        self.expression = expression
        self.expected = expected
        self.root = root
    }

    var testDescription: String { "\(expression) over \(root)" }

    func check() throws {
        let result = try evaluate(expression, over: root)
        guard expected != "missing" else {
            #expect(result == nil)
            return
        }
        let wanted = try jsonValue(expected)
        #expect(result == wanted, "\(result.map { "\($0)" } ?? "missing") is not \(wanted)")
    }
}

/// One row of a table of errors.
struct ErrorCase: CustomTestStringConvertible, Sendable {
    let source: String
    let code: Int32
    let message: String?

    init(_ source: String, _ code: Int32, _ message: String? = nil) {
        self.source = source
        self.code = code
        self.message = message
    }

    var testDescription: String { "\(source) fails with \(code)" }

    func check(_ body: () throws -> Void) throws {
        let error = ServerError.caught(body)
        #expect(error?.code.rawValue == code, "\(error.map { $0.description } ?? "no error")")
        if let message { #expect(error?.message == message) }
    }
}
