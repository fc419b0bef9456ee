public import Core
public import LiveRuntime

/// One kind of part that can be chosen by name: in code through the builder, on the command line through a flag.
public struct Plugin<Part>: Sendable {
    /// As in `--storage NAME`.
    public let name: String
    /// One line for `quorate plugins`.
    public let summary: String
    public let options: [PluginOption]
    public let make: @Sendable (PluginOptions) throws -> Part

    public init(
        _ name: String, summary: String, options: [PluginOption] = [],
        make: @escaping @Sendable (PluginOptions) throws -> Part
    ) {
        self.name = name
        self.summary = summary
        self.options = options
        self.make = make
    }
}

/// Makes the storage engine of one member; called on that member's loop.
public typealias StorageMaker = @Sendable () throws -> any StorageEngine
/// Makes the transport of each node of one cluster, and says where they listen.
public protocol TransportNetwork: AnyObject, Sendable {
    /// A transport for the node of that name; called on the node's loop.
    func makeTransport(_ runtime: LiveRuntime, node: String) -> any Transport
    /// Whether other processes can connect: PyMongo, other members.
    var reachesOtherProcesses: Bool { get }
}

/// The parts that the builder and the command line know by name. A program of your own registers its parts here and
/// calls the same command line.
public struct PluginRegistry: Sendable {
    public private(set) var storage: [Plugin<StorageMaker>] = []
    public private(set) var transports: [Plugin<any TransportNetwork>] = []
    public private(set) var electionPolicies: [Plugin<any ElectionPolicy>] = []

    /// An empty registry.
    public init() {}

    public mutating func register(storage plugin: Plugin<StorageMaker>) { storage.append(plugin) }
    public mutating func register(transport plugin: Plugin<any TransportNetwork>) { transports.append(plugin) }
    public mutating func register(electionPolicy plugin: Plugin<any ElectionPolicy>) { electionPolicies.append(plugin) }
}
