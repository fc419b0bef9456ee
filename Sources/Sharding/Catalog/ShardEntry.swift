public import BSON
public import Core

/// A shard of the cluster: a document of `config.shards`.
///
///     {_id: name, host: "set/h:p,h:p", state: 1, topologyTime: Timestamp, tags?: [zone, …], draining?: true}
public struct ShardEntry: CatalogDocument {
    public static let collection = "shards"
    /// Its name.
    public let id: ShardID
    /// Its replica set, with those of its members that were known when this was written.
    public let hosts: SetConnection
    /// When the list of shards last changed by it.
    public var topologyTime: Timestamp
    /// The zones that it is in, in order of their names.
    public var zones: [String]
    /// It is to be removed.
    public var isDraining: Bool

    /// A shard.
    public init(
        _ id: ShardID, hosts: SetConnection, topologyTime: Timestamp, zones: [String] = [], isDraining: Bool = false
    ) {
        self.id = id
        self.hosts = hosts
        self.topologyTime = topologyTime
        self.zones = zones
        self.isDraining = isDraining
    }

    public var document: Document {
        Document { writer in
            writer.append("_id", string: id.name)
            writer.append("host", string: hosts.description)
            writer.append("state", int32: 1)
            writer.append("topologyTime", timestamp: topologyTime)
            if !zones.isEmpty { writer.array("tags") { array in for zone in zones { array.append(string: zone) } } }
            if isDraining { writer.append("draining", bool: true) }
        }
    }

    public init(_ view: DocumentView) throws(ServerError) {
        guard let name = view.string("_id") else { throw Self.malformed("_id") }
        guard let host = view.string("host"), let hosts = SetConnection(host) else { throw Self.malformed("host") }
        var zones: [String] = []
        if let tags = view["tags"] {
            guard let list = tags.asArray else { throw Self.malformed("tags") }
            for element in list {
                guard let zone = element.value.asString else { throw Self.malformed("tags") }
                zones.append(zone)
            }
        }
        self.init(
            ShardID(name), hosts: hosts, topologyTime: view["topologyTime"]?.asTimestamp ?? .zero, zones: zones,
            isDraining: view["draining"]?.isTruthy ?? false)
    }
}

/// A replica set as connection strings name it: `set/host:port,host:port`.
public struct SetConnection: Hashable, Sendable, CustomStringConvertible {
    /// The set's name.
    public let setName: String
    /// Members, each as `host:port`.
    public let hosts: [String]

    /// A set with its members.
    public init(setName: String, hosts: [String]) {
        self.setName = setName
        self.hosts = hosts
    }

    /// Reads `set/host:port,…`; nil for what has no name or no host.
    public init?(_ text: String) {
        guard let slash = text.utf8.firstIndex(of: UInt8(ascii: "/")) else { return nil }
        let hosts = text[text.index(after: slash)...].split(separator: ",").map(String.init)
        setName = String(text[..<slash])
        self.hosts = hosts
        if setName.isEmpty || hosts.isEmpty { return nil }
    }

    public var description: String { "\(setName)/\(hosts.joined(separator: ","))" }
}
