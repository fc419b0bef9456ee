import BSON
import Core
import Frontend
import Query
import Sharding

/// Pipelines that end with `$out` or `$merge`.
enum OutputRouting {
    /// - Returns: false for a pipeline that writes nothing.
    static func run(
        _ context: RouterContext, _ namespace: Namespace, _ stages: [Document]
    ) async throws(ServerError) -> Bool {
        guard let last = stages.last, let name = last.keys.first, name == "$out" || name == "$merge",
            let target = target(last, name, context.database)
        else { return false }
        try await context.routed { () throws(ServerError) in
            let source = try await context.destination(namespace, .read)
            let database = try await context.catalog.databaseForWriting(target.database)
            let isSharded = try await context.catalog.placement(of: target) != nil
            // One shard reads, and writes, all of it.
            if case .unsharded(let own) = source, !isSharded, own.primary == database.primary,
                own.name == database.name, try await AggregateRouting.isWhole(context, source, stages)
            {
                let (set, versions) = try await context.target(of: source)
                var request = try context.forwarded(versions, access: .write)
                request.isRepeatable = false
                return try context.relay(try await context.send(request, to: set))
            }
            throw ServerError(
                .commandNotSupported,
                "\(name) from \(namespace) into \(target) is not supported through a router yet: both must be "
                    + "collections that are not sharded, of one database")
        }
        return true
    }

    private static func target(_ stage: Document, _ name: String, _ database: String) -> Namespace? {
        guard let value = stage[name] else { return nil }
        if let collection = value.asString { return Namespace(database, collection) }
        guard let fields = value.asDocument else { return nil }
        if name == "$out" {
            guard let collection = fields["coll"]?.asString else { return nil }
            return Namespace(fields["db"]?.asString ?? database, collection)
        }
        guard let into = fields["into"] else { return nil }
        if let collection = into.asString { return Namespace(database, collection) }
        guard let inner = into.asDocument, let collection = inner["coll"]?.asString else { return nil }
        return Namespace(inner["db"]?.asString ?? database, collection)
    }
}
