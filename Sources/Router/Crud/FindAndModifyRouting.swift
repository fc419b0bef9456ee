import BSON
import Core
import Frontend
import Query
import Sharding

/// `findAndModify` on a sharded collection.
enum FindAndModifyRouting {
    static func run(_ context: RouterContext, _ collection: RoutedCollection) async throws(ServerError) {
        let filter = context.body["query"]?.asDocument ?? .empty
        let isUpsert = context.body["upsert"]?.isTruthy ?? false
        switch try context.target(filter: filter, isMulti: false, isUpsert: isUpsert, in: collection) {
        case .one(let route):
            context.router.counters.targeted += 1
            let reply = try await context.send(
                try context.forwarded(route.versions, access: .write), to: route.shard)
            try context.relay(reply)
        case .each(let routes, _):
            try await search(context, collection, routes.map { target($0, collection) }, filter)
        case .search(let targets): try await search(context, collection, targets, filter)
        }
    }

    private static func target(_ route: ShardRoute, _ collection: RoutedCollection) -> ShardTarget {
        ShardTarget(shard: route.shard, version: collection.table.version(of: route.shard), ranges: [])
    }

    /// The document is found first, then changed where it is, if it still matches.
    private static func search(
        _ context: RouterContext, _ collection: RoutedCollection, _ targets: [ShardTarget], _ filter: DocumentView
    ) async throws(ServerError) {
        context.router.counters.scattered += 1
        if context.arguments.transactionNumber != nil {
            // An earlier try may have carried it out at whatever shard: each knows what it has done itself.
            let probe = command(context, RouterContext.matchesNothing)
            let replies = try await context.ask(collection.owners, .write) { _ in probe }
            for (_, reply) in replies {
                let known = reply.body.withView { view in
                    view["retriedStmtId"] != nil || (view["lastErrorObject"]?.asDocument?["n"]?.asInteger ?? 0) > 0
                }
                if known { return try context.relay(reply) }
            }
        }
        var attempts = 0
        while true {
            let found = try await context.findOne(
                filter, sort: context.body["sort"]?.asDocument, in: collection, targets)
            guard let found else {
                // Nothing matches anywhere: any shard says so as a set would.
                let reply = try await context.send(
                    try context.forwarded(
                        context.versions(targets[0]), access: .write,
                        body: command(context, RouterContext.matchesNothing),
                        keepsSequences: false), to: targets[0].shard)
                return try context.relay(reply)
            }
            let reply = try await context.send(
                try context.forwarded(
                    context.versions(found.target), access: .write, body: command(context, found.narrowing(filter)),
                    keepsSequences: false), to: found.target.shard)
            let isGone = reply.isOK && reply.body.withView { $0["lastErrorObject"]?.asDocument?["n"]?.asInteger == 0 }
            attempts += 1
            if !isGone || attempts > Limits.routerStaleRetriesMax { return try context.relay(reply) }
            try await context.pauseBeforeRetry(attempts)
        }
    }

    private static func command(_ context: RouterContext, _ filter: Document) -> Document {
        Document { writer in
            for field in context.body where !(field.key == "query") && !(field.key == "$clusterTime") {
                writer.append(field.key, field.value)
            }
            writer.append("query", filter)
        }
    }
}
