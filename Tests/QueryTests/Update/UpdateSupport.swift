import BSON
import Core
import Testing

@testable import Query

/// Compiles an update given as Extended JSON.
func updateProgram(
    _ update: String, filters: [String] = [], context: QueryContext = QueryContext()
) throws -> UpdateProgram {
    try updateProgram(in: json("{'value': \(update)}"), filters: filters.map { try json($0) }, context: context)
}

/// Compiles the update that is the `value` of a document.
func updateProgram(in wrapped: Document, filters: [Document], context: QueryContext) throws -> UpdateProgram {
    // The program owns what it needs, so the copies may go when it has been made.
    try wrapped.withView { view in
        let buffer = ByteBuffer()
        var offsets: [Int] = []
        for document in filters {
            offsets.append(buffer.count)
            buffer.append(document.bytes)
        }
        let views = offsets.map { DocumentView(base: UnsafeRawPointer(buffer.base + $0)) }
        return try UpdateProgram(#require(view["value"]), arrayFilters: views, context: context)
    }
}

/// Applies an update to a document; the new document and whether it differs.
func update(
    _ document: String, _ update: String, filters: [String] = [], position: Int? = nil, isInsert: Bool = false,
    context: QueryContext = QueryContext()
) throws -> (document: Document, isModified: Bool) {
    let program = try updateProgram(update, filters: filters, context: context)
    let output = ByteBuffer()
    let isModified = try json(document).withView {
        try program.apply(to: $0, position: position, isInsert: isInsert, into: output)
    }
    return (try Document(validating: output.toArray()), isModified)
}

/// One row of a table of updates.
struct UpdateCase: CustomTestStringConvertible, Sendable {
    let before: String
    let update: String
    let after: String
    let filters: [String]
    let position: Int?

    init(_ before: String, _ update: String, _ after: String, filters: [String] = [], position: Int? = nil) {
        self.before = before
        self.update = update
        self.after = after
        self.filters = filters
        self.position = position
    }

    var testDescription: String { "\(update) on \(before)" }

    func check() throws {
        let result = try QueryTests.update(before, update, filters: filters, position: position)
        let wanted = try json(after)
        #expect(result.document == wanted, "\(result.document) is not \(wanted)")
        #expect(result.isModified == (try json(before) != wanted))
    }
}

/// One row of a table of updates that fail.
struct UpdateErrorCase: CustomTestStringConvertible, Sendable {
    let before: String
    let update: String
    let code: Int32
    let message: String?
    let filters: [String]

    init(_ before: String, _ update: String, _ code: Int32, _ message: String? = nil, filters: [String] = []) {
        self.before = before
        self.update = update
        self.code = code
        self.message = message
        self.filters = filters
    }

    var testDescription: String { "\(update) on \(before) fails with \(code)" }

    func check() throws {
        let error = ServerError.caught { _ = try QueryTests.update(before, update, filters: filters) }
        #expect(error?.code.rawValue == code, "\(error.map { $0.description } ?? "no error")")
        if let message { #expect(error?.message == message) }
    }
}
