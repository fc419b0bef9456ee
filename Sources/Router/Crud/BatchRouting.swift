import BSON
import Core
import Frontend
import Query
import Sharding
import Wire

/// `insert`, `update` and `delete`: the statements of a batch go to the shards that they concern, and what becomes of
/// them is told with the client's indexes.
enum BatchRouting {
    static func run(_ context: RouterContext) async throws(ServerError) {
        context.count()
        guard let kind = WriteBatch.Kind(rawValue: "\(context.command.name)") else {
            throw ServerError(.internalError, "\(context.command.name) is no batch of writes")
        }
        let batch = try WriteBatch(kind, context)
        let execution = BatchExecution(context, try context.namespace(), batch, options: nil)
        if try await execution.run() { return }
        batch.write(to: context.writer)
    }
}

/// Carries out the statements of one batch.
final class BatchExecution {
    private let context: RouterContext
    private let namespace: Namespace
    private let batch: WriteBatch
    /// The fields of the commands that shards get; nil for those of the client's own command.
    private let options: Document?
    /// The number of the first statement within the client's session.
    var firstStatement: Int32?
    private var attempts = 0
    /// Of a statement that several shards carry out: what is done already.
    private var parts: [Int: StatementParts] = [:]

    /// - Parameter options: what the commands for shards carry beside their statements.
    init(_ context: RouterContext, _ namespace: Namespace, _ batch: WriteBatch, options: Document?) {
        self.context = context
        self.namespace = namespace
        self.batch = batch
        self.options = options
        if context.arguments.transactionNumber != nil { firstStatement = context.arguments.statementID ?? 0 }
    }

    /// Statements that are routed in one slice of the loop.
    private static let statementsAtOnce = 256

    /// Statements that go to one shard in one command.
    private struct Group {
        let route: ShardRoute
        var indexes: [Int]
    }

    /// - Returns: whether the reply is written: one shard had all of the batch, and its reply was passed on.
    func run() async throws(ServerError) -> Bool {
        while !batch.isOver {
            let destination = try await context.destination(namespace, batch.kind == .delete ? .write : .create)
            let before = batch.pending.count
            if try await step(destination) { return true }
            // Progress resets the patience.
            if batch.pending.count < before { attempts = 0 } else { try await retry(nil) }
        }
        return false
    }

    private func retry(_ error: ServerError?) async throws(ServerError) {
        attempts += 1
        guard attempts <= Limits.routerStaleRetriesMax else {
            throw error
                ?? ServerError(
                    .staleConfig,
                    "the shards and the router do not agree on where the documents of \(namespace) are after "
                        + "\(attempts) attempts")
        }
        context.router.counters.staleRetries += 1
        try await context.pauseBeforeRetry(attempts)
    }

    /// Sends what can go out by one view of the placement.
    private func step(_ destination: Destination) async throws(ServerError) -> Bool {
        var groups: [Group] = []
        var others: [(Int, StatementTarget)] = []
        for (number, index) in batch.pending.enumerated() {
            if number % BatchExecution.statementsAtOnce == BatchExecution.statementsAtOnce - 1 {
                await context.yieldLoop()
            }
            let target: StatementTarget
            do throws(ServerError) {
                target = try await route(index, destination)
            } catch {
                // It is the statement's fault. Those before it go out first.
                if batch.isOrdered, !groups.isEmpty { break }
                batch.fail(index, error)
                if batch.isOrdered { return false }
                continue
            }
            if case .one(let route) = target {
                if let at = groups.firstIndex(where: { $0.route.shard == route.shard }) {
                    groups[at].indexes.append(index)
                    continue
                }
                if batch.isOrdered, !groups.isEmpty { break }
                groups.append(Group(route: route, indexes: [index]))
            } else if batch.isOrdered {
                if groups.isEmpty { others.append((index, target)) }
                break
            } else {
                others.append((index, target))
            }
        }
        if !batch.hasBegun, others.isEmpty, groups.count == 1, groups[0].indexes.count == batch.statements.count,
            options == nil, batch.replaced.isEmpty
        {
            return try await passOn(groups[0], destination)
        }
        try await send(groups, destination)
        for (index, target) in others where !batch.isOver {
            switch target {
            case .each(let routes, let ranges): try await onEach(index, routes, ranges, destination)
            case .search(let targets): try await search(index, targets, destination)
            case .one: break
            }
        }
        return false
    }

    private func route(_ index: Int, _ destination: Destination) async throws(ServerError) -> StatementTarget {
        switch destination {
        case .sharded(let collection):
            if batch.kind == .insert, collection.space.pattern.fields.contains(where: { $0.path == "_id" }) {
                giveID(index)
            }
            let context = context
            let kind = batch.kind
            return try batch.withStatement(index) { statement throws(ServerError) in
                try context.target(of: statement, kind, in: collection)
            }
        case let other:
            let (set, versions) = try await context.target(of: other)
            return .one(ShardRoute(ShardID(set.title), versions))
        }
    }

    /// A key with `_id` in it cannot wait until the shard makes one.
    private func giveID(_ index: Int) {
        guard batch.replaced[index] == nil, batch.statements[index]["_id"] == nil else { return }
        let runtime = context.runtime
        let id = ObjectID(
            high: UInt64(runtime.wallClock.seconds) << 32 | runtime.randomNumber() >> 32,
            low: UInt32(truncatingIfNeeded: runtime.randomNumber()))
        batch.replaced[index] = Document { writer in
            writer.append("_id", objectID: id)
            for field in batch.statements[index] { writer.append(field.key, field.value) }
        }
    }

    private func set(of route: ShardRoute, _ destination: Destination) async throws(ServerError) -> RemoteSet {
        if case .sharded = destination { return try await context.catalog.shard(route.shard) }
        return try await context.target(of: destination).set
    }

    // MARK: One shard

    /// All of the client's command concerns one shard: its bytes go on, and the reply's come back.
    private func passOn(_ group: Group, _ destination: Destination) async throws(ServerError) -> Bool {
        context.router.counters.targeted += 1
        let set = try await set(of: group.route, destination)
        let request = try context.forwarded(group.route.versions, access: .write)
        let reply: RemoteReply
        do throws(ServerError) {
            reply = try await context.send(request, to: set)
        } catch {
            guard try await context.noteStale(error) else { throw error }
            try await retry(error)
            return false
        }
        let hasStale = reply.body.withView { view in
            (view["writeErrors"]?.asArray ?? .empty).contains { element in
                element.value.asDocument?["code"]?.asInteger == Int64(ErrorCode.staleConfig.rawValue)
            }
        }
        guard hasStale else {
            try context.relay(reply)
            return true
        }
        context.note(reply)
        for info in try batch.take(reply.body, for: group.indexes) { context.catalog.note(info) }
        return false
    }

    private func send(_ groups: [Group], _ destination: Destination) async throws(ServerError) {
        guard !groups.isEmpty else { return }
        if groups.count == 1 { context.router.counters.targeted += 1 } else { context.router.counters.scattered += 1 }
        let results = await context.eachAtOnce(groups) { [self] group throws(ServerError) in
            let set = try await set(of: group.route, destination)
            return try await context.send(try request(group.indexes, group.route.versions), to: set)
        }
        var refusal: ServerError?
        for (group, result) in zip(groups, results) {
            switch result {
            case .success(let reply):
                context.note(reply)
                if let error = reply.error {
                    try failed(group.indexes, error)
                    continue
                }
                for info in try batch.take(reply.body, for: group.indexes) { context.catalog.note(info) }
            case .failure(let error):
                if try await context.noteStale(error) {
                    refusal = refusal ?? error
                } else {
                    try failed(group.indexes, error)
                }
            }
        }
        if let refusal { try await retry(refusal) }
    }

    /// A whole command has failed at a shard. When it is all that there is, the client's command has failed so.
    private func failed(_ indexes: [Int], _ error: ServerError) throws(ServerError) {
        if indexes.count == batch.statements.count { throw error }
        if batch.isOrdered, let first = indexes.first { return batch.fail(first, error) }
        for index in indexes { batch.fail(index, error) }
    }

    /// The command with some of the statements.
    private func request(_ indexes: [Int], _ versions: RoutedRequest) throws(ServerError) -> RemoteRequest {
        let statements = ByteBuffer(capacity: 4096)
        for index in indexes {
            try batch.withStatement(index) { statement throws(ServerError) in statements.append(statement.bytes) }
        }
        return try context.batchRequest(
            batch.kind, namespace, statements, count: indexes.count, options: options,
            statementIDs: firstStatement.map { first in indexes.map { first &+ Int32(truncatingIfNeeded: $0) } },
            versions)
    }

    // MARK: Several shards

    /// What shards have done of a statement that each carries out on what it has.
    private struct StatementParts {
        var n: Int64 = 0
        var nModified: Int64 = 0
        var done: Set<ShardID> = []
        /// The keys that nobody has looked at.
        var left: [KeyRange]
    }

    private func onEach(
        _ index: Int, _ routes: [ShardRoute], _ ranges: [KeyRange], _ destination: Destination
    ) async throws(ServerError) {
        guard case .sharded(let collection) = destination else { return }
        context.router.counters.scattered += 1
        var part = parts[index] ?? StatementParts(left: ranges)
        let targets = try collection.table.targets(part.left)
        // What has moved to a shard that is done cannot be told from what was there.
        for target in targets where part.done.contains(target.shard) {
            return batch.fail(
                index,
                ServerError(
                    .conflictingOperationInProgress,
                    "ranges of \(namespace) have moved to \(target.shard) while the statement was carried out there: "
                        + "\(part.n) documents were reached, and some may not have been"))
        }
        let results = await context.eachAtOnce(targets) { [self] target throws(ServerError) in
            let set = try await context.catalog.shard(target.shard)
            return try await context.send(try request([index], context.versions(target)), to: set)
        }
        var refusal: ServerError?
        for (target, result) in zip(targets, results) {
            switch result {
            case .success(let reply):
                context.note(reply)
                if let error = reply.error { return batch.fail(index, error) }
                let one = WriteBatch(batch.kind, [batch.statements[index]], isOrdered: true)
                let stale = try one.take(reply.body, for: [0])
                if let info = stale.first {
                    context.catalog.note(info)
                    refusal = refusal ?? info.error
                    continue
                }
                if let failure = one.errors.first {
                    batch.n += part.n + one.n
                    batch.nModified += part.nModified + one.nModified
                    return batch.fail(index, failure.error.asError)
                }
                part.n += one.n
                part.nModified += one.nModified
                part.done.insert(target.shard)
                part.left = part.left.flatMap { $0.subtracting(target.ranges) }
            case .failure(let error):
                guard try await context.noteStale(error) else { return batch.fail(index, error) }
                refusal = refusal ?? error
            }
        }
        parts[index] = part
        if let refusal { return try await retry(refusal) }
        batch.take(n: part.n, nModified: part.nModified, upserted: nil, for: index)
        parts[index] = nil
    }

    /// A statement for one document that the router cannot tell the shard of: the document is found first, then changed
    /// where it is, if it still matches.
    private func search(
        _ index: Int, _ targets: [ShardTarget], _ destination: Destination
    ) async throws(ServerError) {
        guard case .sharded(let collection) = destination else { return }
        let statement = batch.statements[index]
        guard let filter = statement["q"]?.asDocument else {
            return batch.fail(index, ServerError(.missingField, "BSON field 'q' is missing but a required field"))
        }
        do throws(ServerError) {
            if firstStatement != nil, try await wasDone(index, collection) { return }
            let found = try await context.findOne(
                filter, sort: statement["sort"]?.asDocument, in: collection, targets)
            guard let found else { return batch.done([index]) }
            let original = batch.replaced[index]
            batch.replaced[index] = Document { writer in
                for field in statement {
                    if field.key == "q" {
                        writer.append("q", found.narrowing(filter))
                    } else {
                        writer.append(field.key, field.value)
                    }
                }
            }
            defer { batch.replaced[index] = original }
            let set = try await context.catalog.shard(found.target.shard)
            let reply = try await context.send(
                try request([index], context.versions(found.target)), to: set)
            context.note(reply)
            if let error = reply.error { return batch.fail(index, error) }
            let one = WriteBatch(batch.kind, [statement], isOrdered: true)
            if let info = try one.take(reply.body, for: [0]).first {
                context.catalog.note(info)
                return try await retry(info.error)
            }
            if let failure = one.errors.first { return batch.fail(index, failure.error.asError) }
            // It has changed, moved or gone meanwhile: another one may match.
            if one.n == 0 { return try await retry(nil) }
            batch.take(n: one.n, nModified: one.nModified, upserted: nil, for: index)
        } catch {
            guard try await context.noteStale(error) else { return batch.fail(index, error) }
            try await retry(error)
        }
    }

    /// Whether an earlier try has carried the statement out, at whatever shard: each is sent the statement with a
    /// filter that nothing matches, which changes nothing and is not remembered, unless it is known already.
    private func wasDone(_ index: Int, _ collection: RoutedCollection) async throws(ServerError) -> Bool {
        let original = batch.replaced[index]
        batch.replaced[index] = Document { writer in
            for field in batch.statements[index] {
                if field.key == "q" {
                    writer.append("q", RouterContext.matchesNothing)
                } else {
                    writer.append(field.key, field.value)
                }
            }
        }
        defer { batch.replaced[index] = original }
        var requests: [(ShardTarget, RemoteRequest)] = []
        for target in collection.owners { requests.append((target, try request([index], context.versions(target)))) }
        let replies = try await context.atOnce(requests) { [context] request throws(ServerError) in
            try await context.send(request.1, to: request.0.shard).checked()
        }
        for reply in replies {
            context.note(reply)
            let known = reply.body.withView { $0["retriedStmtIds"] != nil || ($0["n"]?.asInteger ?? 0) > 0 }
            guard known else { continue }
            _ = try batch.take(reply.body, for: [index])
            return true
        }
        return false
    }
}

extension Document {
    /// An entry of `writeErrors` as an error.
    var asError: ServerError {
        withView { view in
            let details = Document { writer in
                for field in view {
                    switch field.key {
                    case "index", "code", "errmsg": continue
                    default: writer.append(field.key, field.value)
                    }
                }
            }
            return ServerError(
                ErrorCode(rawValue: view["code"]?.asInteger.flatMap { Int32(exactly: $0) } ?? 8),
                view["errmsg"]?.asString ?? "no message", details: details.isEmpty ? nil : details)
        }
    }
}
