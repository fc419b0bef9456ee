internal import Core

/// What a `mongodb://` connection string says, as far as the commands of this program need it.
struct ConnectionString: Sendable, Equatable {
    var seeds: [Endpoint]
    var setName: String?

    /// Parses `mongodb://host:port,…/?replicaSet=name`. Options that do not matter here are skipped.
    init(_ text: String) throws(UsageError) {
        let scheme = "mongodb://"
        guard text.hasPrefix(scheme) else {
            throw UsageError("a connection string begins with \(scheme), not '\(text)'")
        }
        let rest = text.dropFirst(scheme.count)
        let hosts = rest.prefix { $0 != "/" && $0 != "?" }
        guard !hosts.contains("@") else {
            throw UsageError("'\(scheme)…@…' names a user, and there is no authentication yet")
        }
        seeds = []
        for host in hosts.split(separator: ",", omittingEmptySubsequences: false) {
            guard let endpoint = Endpoint(String(host)), !host.isEmpty else {
                throw UsageError("'\(host)' in the connection string is no host:port")
            }
            seeds.append(endpoint)
        }
        guard let question = rest.firstIndex(of: "?") else { return }
        for option in rest[rest.index(after: question)...].split(separator: "&") {
            let parts = option.split(separator: "=", maxSplits: 1)
            if parts.count == 2, parts[0].lowercased() == "replicaset" { setName = String(parts[1]) }
        }
    }
}
