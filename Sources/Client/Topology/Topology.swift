import BSON
import Core

/// What a client knows of its servers, and the rules by which new descriptions change it: the driver specification
/// "Server Discovery And Monitoring". A pure value.
struct Topology {
    /// What to do after a description was taken.
    enum Directive: Equatable {
        case watch(Endpoint)
        case forget(Endpoint)
        /// The description was older than what is known.
        case ignored(Endpoint)
        /// A primary of an older election, or one that an election has replaced.
        case stalePrimary(Endpoint)
    }

    private(set) var description: TopologyDescription
    /// The newest primary seen, by (electionId, setVersion).
    private(set) var newestElection: ObjectID?
    private(set) var newestSetVersion: Int64?

    init(seeds: [Endpoint], setName: String?, isDirect: Bool, heartbeatInterval: Duration) {
        let kind: TopologyDescription.Kind = isDirect ? .single : setName == nil ? .unknown : .replicaSetNoPrimary
        description = TopologyDescription(kind: kind, setName: setName)
        description.heartbeatInterval = heartbeatInterval
        for seed in seeds { _ = add(seed) }
    }

    /// Takes a server's new description. A failed check is a description of type unknown.
    mutating func take(_ new: ServerDescription) -> [Directive] {
        guard let old = description[new.address] else { return [.ignored(new.address)] }
        if let known = old.topologyVersion, let version = new.topologyVersion, version.isOlder(than: known) {
            return [.ignored(new.address)]
        }
        replace(new)
        var directives: [Directive] = []
        switch description.kind {
        case .single: takeInSingle(new)
        case .unknown: directives = takeInUnknown(new)
        case .sharded:
            if new.type != .unknown, new.type != .mongos { directives = [remove(new.address)] }
        case .replicaSetNoPrimary, .replicaSetWithPrimary: directives = takeInSet(new)
        }
        return directives
    }

    /// An operation's error says that the server is not what it was.
    /// - Returns: false when the error is older than what is known.
    mutating func markUnknown(_ address: Endpoint, version: TopologyVersion?, error: String) -> Bool {
        guard let old = description[address] else { return false }
        if let known = old.topologyVersion, let version, known.processID == version.processID,
            known.counter >= version.counter
        {
            return false
        }
        var unknown = ServerDescription(address: address)
        unknown.error = error
        unknown.topologyVersion = version
        unknown.roundTripTime = old.roundTripTime
        replace(unknown)
        checkForPrimary()
        return true
    }

    mutating func setRoundTripTime(_ time: Duration, of address: Endpoint) {
        guard let index = description.servers.firstIndex(where: { $0.address == address }) else { return }
        description.servers[index].roundTripTime = time
    }

    /// The least session timeout of all data-bearing servers; nil when one has none, and sessions cannot be used.
    var logicalSessionTimeoutMinutes: Int? {
        let servers = description.servers.filter { $0.type.isDataBearing }
        let timeouts = servers.compactMap(\.logicalSessionTimeoutMinutes)
        return timeouts.count == servers.count ? timeouts.min() : nil
    }

    // MARK: Kinds of topology

    private mutating func takeInSingle(_ new: ServerDescription) {
        guard let setName = description.setName, new.type != .unknown, new.setName != setName else { return }
        var unknown = ServerDescription(address: new.address)
        unknown.error = "the server is a member of '\(new.setName ?? "no set")', not of '\(setName)'"
        replace(unknown)
    }

    private mutating func takeInUnknown(_ new: ServerDescription) -> [Directive] {
        switch new.type {
        case .standalone:
            if description.servers.count > 1 { return [remove(new.address)] }
            description.kind = .single
            return []
        case .mongos:
            description.kind = .sharded
            return []
        case .primary, .secondary, .arbiter, .other:
            description.kind = .replicaSetNoPrimary
            return takeInSet(new)
        case .unknown, .ghost, .possiblePrimary: return []
        }
    }

    private mutating func takeInSet(_ new: ServerDescription) -> [Directive] {
        defer { checkForPrimary() }
        switch new.type {
        case .unknown, .ghost, .possiblePrimary: return []
        case .standalone, .mongos: return [remove(new.address)]
        case .primary: return takePrimary(new)
        case .secondary, .arbiter, .other: return takeMember(new)
        }
    }

    private mutating func takeMember(_ new: ServerDescription) -> [Directive] {
        if description.setName == nil { description.setName = new.setName }
        if description.setName != new.setName { return [remove(new.address)] }
        var directives: [Directive] = []
        // With a primary its list counts; without one every member's list is a hint.
        if description.primary == nil { for member in new.members { directives += add(member) } }
        if let me = new.me, me != new.address { directives.append(remove(new.address)) }
        return directives
    }

    private mutating func takePrimary(_ new: ServerDescription) -> [Directive] {
        if description.setName == nil { description.setName = new.setName }
        if description.setName != new.setName { return [remove(new.address)] }
        guard isNewestElection(new) else {
            var unknown = ServerDescription(address: new.address)
            unknown.error = "primary of an older election"
            unknown.topologyVersion = new.topologyVersion
            replace(unknown)
            return [.stalePrimary(new.address)]
        }
        var directives: [Directive] = []
        for server in description.servers where server.type == .primary && server.address != new.address {
            var unknown = ServerDescription(address: server.address)
            unknown.error = "replaced as primary by \(new.address)"
            replace(unknown)
            directives.append(.stalePrimary(server.address))
        }
        for member in new.members { directives += add(member) }
        for address in description.servers.map(\.address) where !new.members.contains(address) {
            directives.append(remove(address))
        }
        return directives
    }

    /// Compares (electionId, setVersion) with the newest seen, and remembers a newer one. Servers before wire version
    /// 17 are compared by (setVersion, electionId).
    private mutating func isNewestElection(_ new: ServerDescription) -> Bool {
        if new.maxWireVersion >= 17 {
            let election = (new.electionID ?? ObjectID(high: 0, low: 0), new.setVersion ?? 0)
            let newest = (newestElection ?? ObjectID(high: 0, low: 0), newestSetVersion ?? 0)
            if election < newest { return false }
            newestElection = new.electionID
            newestSetVersion = new.setVersion
            return true
        }
        if let version = new.setVersion, let election = new.electionID {
            if let newestSetVersion, let newestElection, (newestSetVersion, newestElection) > (version, election) {
                return false
            }
            newestElection = election
        }
        if let version = new.setVersion { newestSetVersion = max(newestSetVersion ?? version, version) }
        return true
    }

    // MARK: Servers

    private mutating func checkForPrimary() {
        guard description.kind.isReplicaSet else { return }
        description.kind = description.primary == nil ? .replicaSetNoPrimary : .replicaSetWithPrimary
    }

    private mutating func add(_ address: Endpoint) -> [Directive] {
        if description[address] != nil { return [] }
        let place = description.servers.firstIndex { $0.address.description > address.description }
        description.servers.insert(ServerDescription(address: address), at: place ?? description.servers.count)
        return [.watch(address)]
    }

    private mutating func remove(_ address: Endpoint) -> Directive {
        description.servers.removeAll { $0.address == address }
        return .forget(address)
    }

    private mutating func replace(_ server: ServerDescription) {
        guard let index = description.servers.firstIndex(where: { $0.address == server.address }) else { return }
        description.servers[index] = server
    }
}
