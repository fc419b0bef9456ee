import BSON
import Core
import Frontend
import Sharding

enum AggregateRouting {
    static func run(_ context: RouterContext) async throws(ServerError) {
        context.count()
        let namespace: Namespace
        if context.argument.asInteger == 1 {
            namespace = .withoutCollection(context.database)
        } else {
            namespace = try context.namespace()
        }
        try await context.routed { () throws(ServerError) in
            switch try await context.destination(namespace, .read) {
            case .sharded: throw RouterCommands.unsupported(context)
            case let other: try await context.forwardWhole(to: other, .read)
            }
        }
    }
}
enum ExplainRouting {
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
