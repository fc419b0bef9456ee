internal import BSON
internal import Core

/// Finds the servers behind a connection string.
struct PrimarySearch {
    let transport: any Transport
    let runtime: any NodeRuntime

    /// The server that takes writes: the set's primary, or the standalone. Waits a while for one to be elected, when
    /// there is anybody to wait for.
    func primary(of target: ConnectionString, within limit: Duration = .seconds(10)) async throws -> Endpoint {
        let deadline = runtime.now + limit
        while true {
            let found = await lookOnce(target)
            if let primary = found.primary { return primary }
            guard found.isWorthWaiting, runtime.now < deadline else {
                throw found.failure ?? CommandFailure("no server takes writes")
            }
            await runtime.sleep(for: .milliseconds(200))
        }
    }

    private struct Look {
        var primary: Endpoint?
        /// A member of the set answered: there may be a primary soon.
        var isWorthWaiting = false
        var failure: CommandFailure?
    }

    private func lookOnce(_ target: ConnectionString) async -> Look {
        var waiting = target.seeds
        var seen: [Endpoint] = []
        var look = Look()
        while let endpoint = waiting.popLast() {
            guard !seen.contains(endpoint) else { continue }
            seen.append(endpoint)
            let link = ServerLink(to: endpoint, over: transport, runtime)
            defer { link.close() }
            do {
                let hello = try await link.succeed(["hello": 1])
                if let wanted = target.setName, hello["setName"]?.asString != wanted {
                    look.failure = CommandFailure(
                        "\(endpoint) belongs to \(hello["setName"]?.asString ?? "no replica set"), not to \(wanted)")
                    continue
                }
                if hello["isWritablePrimary"]?.asBool == true {
                    look.primary = endpoint
                    return look
                }
                look.isWorthWaiting = true
                waiting += (hello["hosts"]?.asArray ?? []).compactMap { $0.asString.flatMap { Endpoint($0) } }
                if let primary = hello["primary"]?.asString.flatMap({ Endpoint($0) }) { waiting.append(primary) }
                look.failure = look.failure ?? CommandFailure("no server takes writes: the set has no primary")
            } catch {
                look.failure = look.failure ?? error as? CommandFailure
            }
        }
        return look
    }

    /// The first of the seeds that answers.
    func anyServer(of target: ConnectionString) async throws -> ServerLink {
        var failure: any Error = CommandFailure("the connection string names no server")
        for endpoint in target.seeds {
            let link = ServerLink(to: endpoint, over: transport, runtime)
            do {
                _ = try await link.succeed(["hello": 1])
                return link
            } catch {
                failure = error
                link.close()
            }
        }
        throw failure
    }
}
