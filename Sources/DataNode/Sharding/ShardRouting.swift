internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Sharding

/// What a request that came through a router was routed by, and holds on to while it runs.
struct RoutedBy {
    let namespace: Namespace
    let request: RoutedRequest
    /// What was owned when it was let in; nil for what is not sharded.
    let owned: OwnedCollection?
}

/// Checks of versions: nothing is done by a placement that is not the shard's.
extension ShardService {
    /// What a version check comes to.
    enum Check {
        /// Both see the same placement.
        case agreed(RoutedBy?)
        /// The request knows more than the shard: it has to find out first.
        case mustLearn(Namespace)
        /// A range is about to be somebody else's, and nobody knows yet whether.
        case mustWait(Namespace)
        /// The request knows less.
        case refused(ServerError)
    }

    /// Looks at a request for one collection.
    func check(_ request: RoutedRequest, _ namespace: Namespace) throws -> Check {
        guard !request.isUnversioned else { return .agreed(nil) }
        let owned = try ownerships.collection(namespace)
        if let received = request.placement, received != .unsharded {
            guard let owned else { return .mustLearn(namespace) }
            let wanted = owned.table.version
            switch received.relation(to: wanted) {
            case .agrees:
                if owned.table.migrationClosingReads(of: [.all]) != nil { return .mustWait(namespace) }
                return .agreed(RoutedBy(namespace: namespace, request: request, owned: owned))
            case .older, .earlierEpoch: return .refused(stale(request, namespace, wanted))
            case .newer, .laterEpoch, .otherKind: return .mustLearn(namespace)
            }
        }
        if let owned, request.placement != nil {
            guard owned.collection.isConfirmed else { return .mustLearn(namespace) }
            return .refused(stale(request, namespace, owned.table.version))
        }
        if let received = request.database {
            guard let wanted = try ownerships.database(namespace.database) else { return .mustLearn(namespace) }
            switch received.relation(to: wanted) {
            case .agrees: break
            case .older, .earlierEpoch:
                return .refused(StaleDatabaseInfo(namespace.database, received: received, wanted: wanted).error)
            default: return .mustLearn(namespace)
            }
        }
        return .agreed(RoutedBy(namespace: namespace, request: request, owned: nil))
    }

    /// The refusal of a request whose version is not this one's.
    func stale(_ request: RoutedRequest, _ namespace: Namespace, _ wanted: PlacementVersion?) -> ServerError {
        if let received = request.placement, received != .unsharded || request.database == nil || wanted != nil {
            return StaleConfigInfo(namespace, received: received, wanted: wanted, shard: ownerships.shard).error
        }
        return StaleDatabaseInfo(
            namespace.database, received: request.database ?? DatabaseVersion(Epoch(.zero), lastMod: 0), wanted: nil
        ).error
    }

    /// Lets a request in, or refuses it; asks the config servers when it knows more.
    func admit(_ request: RoutedRequest, _ namespace: Namespace, _ context: CommandContext) async throws -> RoutedBy? {
        let deadline = min(context.deadline, node.runtime.now + Limits.clusterLearnPatience)
        var hasLearned = false
        while true {
            switch try await node.data.whenResident({ try check(request, namespace) }) {
            case .agreed(let routed): return routed
            case .refused(let error): throw error
            case .mustWait:
                guard node.runtime.now < deadline else {
                    throw stale(request, namespace, try ownerships.collection(namespace)?.table.version)
                }
                context.pause()
                defer { context.resume() }
                await ownerships.changed.wait(
                    until: min(deadline, node.runtime.now + Limits.clusterRetryPause), on: context.connection)
                try context.checkDeadline()
            case .mustLearn:
                if !hasLearned {
                    context.pause()
                    defer { context.resume() }
                    try await learn(namespace)
                    hasLearned = true
                    continue
                }
                // The outcome of a move is on its way here.
                guard node.runtime.now < deadline, request.placement != .unsharded,
                    let owned = try ownerships.collection(namespace),
                    request.placement?.relation(to: owned.table.version) == .newer
                else {
                    throw stale(request, namespace, try ownerships.collection(namespace)?.table.version)
                }
                context.pause()
                defer { context.resume() }
                askForOutcomes(of: namespace)
                await ownerships.changed.wait(
                    until: min(deadline, node.runtime.now + Limits.clusterRetryPause), on: context.connection)
                try context.checkDeadline()
            }
        }
    }
}

extension CommandContext {
    /// Whether it came through a router, whose requests see what the shard owns.
    var isFromRouter: Bool { connection.peer?.clusterKind == "router" && node.shard != nil }

    /// What the request was routed by; nil when it carries no versions. The namespace is the one of the first field.
    func routedRequest() throws(ServerError) -> (RoutedRequest, Namespace)? {
        guard arguments.isRouted else { return nil }
        let request = try RoutedRequest(body)
        guard !request.isUnversioned else { return nil }
        if argument.type == .string { return (request, try namespace()) }
        // `explain`: what the explained command is about.
        if let inner = argument.asDocument?.first?.value, inner.type == .string {
            return (request, try namespace(collection: inner, field: command.name))
        }
        return (request, Namespace.withoutCollection(database))
    }

    /// Between two statements of a batch: the placement is still the one that the request was routed by.
    /// - Throws: `StaleConfig` for the statements that are not done yet.
    func checkRouting() throws {
        guard let routed, let shard = node.shard else { return }
        switch try shard.check(routed.request, routed.namespace) {
        case .agreed, .mustWait: return
        case .refused(let error): throw error
        case .mustLearn:
            throw shard.stale(
                routed.request, routed.namespace, try shard.ownerships.collection(routed.namespace)?.table.version)
        }
    }

    /// Waits while a range that the command has met is closed.
    /// - Throws: `StaleConfig` when it stays closed for too long: the router tries again.
    func awaitOpenRange() async throws {
        guard let shard = node.shard else { return }
        let since = metClosedRangeAt ?? runtime.now
        metClosedRangeAt = since
        guard runtime.now - since < Limits.closedRangePatience else {
            metClosedRangeAt = nil
            throw ServerError(
                .exceededTimeLimit, "a range of keys is being moved, and its writes have waited for too long")
        }
        await shard.ownerships.changed.wait(until: runtime.now + Limits.clusterRetryPause, on: connection)
    }
}
