import BSON
import Core
import Frontend
import Query
import Sharding

/// Which shards of a sharded collection an operation concerns, and asking several at once.
extension RouterContext {
    /// What compiling a query may know. A router evaluates no variables: shards do.
    var queryContext: QueryContext { QueryContext(nowMillis: runtime.wallClock.milliseconds) }

    /// The shards that may have documents which match a filter.
    /// - Parameter filter: nil for all documents.
    func targets(
        _ filter: DocumentView?, in collection: RoutedCollection, variables: DocumentView? = nil
    ) throws(ServerError) -> [ShardTarget] {
        try collection.table.targets(try collection.ranges(filter, queryContext(declaring: variables)))
    }

    /// Filters may use variables, whose values decide nothing about where they go.
    func queryContext(declaring variables: DocumentView?) -> QueryContext {
        var context = queryContext
        for variable in variables ?? .empty { context.variables[variable.key.string] = .some(.null) }
        return context
    }

    /// The `let` of the command.
    var variables: DocumentView? { body["let"]?.asDocument }

    /// What a request to a shard of the collection says.
    func versions(_ target: ShardTarget) -> RoutedRequest { RoutedRequest(placement: target.version) }

    /// Calls `body` for every item at the same time.
    /// - Returns: the results in the order of the items.
    /// - Throws: the first error, in the order of the items, when all have ended.
    func atOnce<Item, Answer>(
        _ items: [Item], _ body: @escaping (Item) async throws(ServerError) -> Answer
    ) async throws(ServerError) -> [Answer] {
        var answers: [Answer] = []
        for result in await eachAtOnce(items, body) { answers.append(try result.get()) }
        return answers
    }

    /// The same, with the errors among the results.
    func eachAtOnce<Item, Answer>(
        _ items: [Item], _ body: @escaping (Item) async throws(ServerError) -> Answer
    ) async -> [Result<Answer, ServerError>] {
        func run(_ item: Item) async -> Result<Answer, ServerError> {
            do throws(ServerError) { return .success(try await body(item)) } catch { return .failure(error) }
        }
        if items.count == 1 { return [await run(items[0])] }
        let gathering = Gathering<Result<Answer, ServerError>>(items.count)
        for (index, item) in items.enumerated() {
            runtime.spawn("one of several shards") { gathering.put(await run(item), at: index) }
        }
        return await gathering.wait()
    }
}

/// Results of tasks that run at the same time.
private final class Gathering<Answer> {
    private var answers: [Answer?]
    private var missing: Int
    private var waiter: UnsafeContinuation<Void, Never>?

    init(_ count: Int) {
        answers = Array(repeating: nil, count: count)
        missing = count
    }

    func put(_ answer: Answer, at index: Int) {
        answers[index] = answer
        missing -= 1
        guard missing == 0 else { return }
        waiter?.resume()
        waiter = nil
    }

    func wait() async -> [Answer] {
        if missing > 0 { await withUnsafeContinuation { waiter = $0 } }
        return answers.compactMap { $0 }
    }
}

extension RoutedCollection {
    /// The ranges of keys that documents which match a filter may have.
    func ranges(_ filter: DocumentView?, _ context: QueryContext) throws(ServerError) -> [KeyRange] {
        guard let filter, !filter.isEmpty else { return [.all] }
        return try space.ranges(
            try Filter(filter, context: context).shardKeyBounds(of: space.pattern.fields.map(\.path)))
    }

    /// The shard that has a document.
    /// - Throws: `ShardKeyNotFound` for one whose key holds an array.
    func owner(of document: DocumentView) throws(ServerError) -> ShardTarget {
        let position = try space.position(of: document)
        let shard = position.withUnsafeBytes { table.owner(of: $0) }
        return ShardTarget(shard: shard, version: table.version(of: shard), ranges: [])
    }

    /// Some shard of the collection, for what no shard has documents for: it says what a set would.
    var anyTarget: ShardTarget {
        let shard = table[0].shard
        return ShardTarget(shard: shard, version: table.version(of: shard), ranges: [])
    }

    /// All shards that have chunks.
    var owners: [ShardTarget] {
        table.shards(for: [.all]).map { ShardTarget(shard: $0, version: table.version(of: $0), ranges: [.all]) }
    }
}
