import BSON
import Core
import Frontend
import Sharding

enum ExplainRouting {
    static func runAggregate(_ context: RouterContext) async throws(ServerError) {
        let namespace = try AggregateRouting.namespace(context, context.argument)
        try await context.routed { () throws(ServerError) in
            switch try await context.destination(namespace, .read) {
            case .sharded: throw RouterCommands.unsupported(context)
            case let other: try await context.forwardWhole(to: other, .read)
            }
        }
    }
    static func run(_ context: RouterContext) async throws(ServerError) {
        context.count()
        guard let inner = context.argument.asDocument, let first = inner.first else {
            throw ServerError(.typeMismatch, "explain needs the command to explain")
        }
        let namespace =
            first.value.asInteger == 1
            ? .withoutCollection(context.database)
            : try context.namespace(collection: first.value, field: "explain")
        try await context.routed { () throws(ServerError) in
            switch try await context.destination(namespace, .read) {
            case .sharded: throw RouterCommands.unsupported(context)
            case let other: try await context.forwardWhole(to: other, .read)
            }
        }
    }
}
