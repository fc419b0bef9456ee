import BSON
import Core
import Testing

@testable import Query

extension SplitMix64 {
    mutating func pick<T>(_ list: [T]) -> T { list[Int(next() % UInt64(list.count))] }
    mutating func chance(_ percent: UInt64) -> Bool { next() % 100 < percent }
}

func compile(_ filter: Document) throws(ServerError) -> Filter {
    let result = filter.withView { view in
        Result { () throws(ServerError) in try Filter(view, context: QueryContext()) }
    }
    return try result.get()
}

extension Filter {
    func matches(_ document: Document) throws -> Bool {
        try document.withView { try matches($0) }
    }
    func position(_ document: Document) throws -> Int? {
        var position: Int?
        _ = try document.withView { try matches($0, position: &position) }
        return position
    }
}

func matches(_ filter: Document, _ document: Document) throws -> Bool { try compile(filter).matches(document) }

/// The code of the error that `body` throws; 0 when it throws none.
func code(_ body: () throws -> Void) -> Int32 {
    do {
        try body()
        return 0
    } catch let error as ServerError {
        return error.code.rawValue
    } catch {
        return -1
    }
}

func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        return ""
    } catch let error as ServerError {
        return error.message
    } catch {
        return "\(error)"
    }
}

func sortPattern(_ document: Document) throws -> SortPattern { try document.withView { try SortPattern($0) } }

func indexSpec(_ key: Document, _ options: Document = Document(), name: String? = nil) throws -> IndexSpec {
    var specification = Document()
    specification.append("key", .document(key))
    specification.append("name", .string(name ?? key.withView { IndexSpec.defaultName($0) }))
    for (option, value) in options.fields { specification.append(option, value) }
    return try specification.withView { try IndexSpec(validating: $0) }
}
