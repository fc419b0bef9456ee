public import BSON
public import Core
public import LiveRuntime
public import DataNode
public import Router

/// The parts that nodes are to be made of, of each kind one.
public struct PartChoices: Sendable {
    /// Where data is kept.
    public var storage = StorageChoice.memory
    /// How nodes, and their clients, reach one another.
    public var transport = TransportChoice.loopback
    /// When members stand for election.
    public var elections = ElectionChoice.fast
    /// Which of the allowed members is read, or copied.
    public var readSelector = ReadSelectorChoice.mongodb
    /// How documents are spread over shards.
    public var shardKeyStrategy = ShardKeyChoice.mongodb
    /// The directory of a single node, or below which each member has one of its own; nil for none.
    public var directory: String?

    /// The parts of a set that says nothing of them.
    public init() {}

    /// Looks every choice up, before anything is started.
    /// - Throws: `PartOptionError` for a part that is not registered, or an option that it cannot do with.
    public func parts(from registry: PartRegistry) throws -> NodeParts {
        // A selector has state: each of those who select makes one of its own.
        _ = try readSelector.make(.readSelector, from: registry)
        _ = try shardKeyStrategy.make(.shardKeyStrategy, from: registry)
        return NodeParts(
            storageName: storage.name, makeStorage: try storage.make(.storage, from: registry),
            transportName: transport.network.name, network: try transport.make(from: registry),
            electionPolicy: try elections.make(.electionPolicy, from: registry),
            makeReadSelector: { [readSelector] in try readSelector.make(.readSelector, from: registry) },
            shardKeyStrategy: shardKeyStrategy,
            makeShardKeyStrategy: { [shardKeyStrategy] name, options in
                // One of your own need not be registered.
                if name == shardKeyStrategy.name, options == shardKeyStrategy.options.document {
                    return try shardKeyStrategy.make(.shardKeyStrategy, from: registry)
                }
                return try registry.part(.shardKeyStrategy, name).make(try PartOptions(options))
            })
    }
}

/// What the nodes of one cluster in this process are made of. May be used from any thread.
public struct NodeParts: Sendable {
    let storageName: String
    let makeStorage: StorageMaker
    let transportName: String
    let network: any TransportNetwork
    let electionPolicy: any ElectionPolicy
    let makeReadSelector: @Sendable () throws -> any ReadSelector
    /// That of collections that are sharded from now on.
    let shardKeyStrategy: ShardKeyChoice
    /// Finds a shard key strategy by the name and the options that are stored with a collection.
    public let makeShardKeyStrategy: @Sendable (String, Document) throws -> any ShardKeyStrategy

    /// Makes a node, on its loop.
    /// - Parameters:
    ///   - runtime: on whose loop the node lives.
    ///   - name: what the network, log lines and the storage know the node by.
    ///   - directory: the node's own.
    ///   - options: how it behaves.
    public func makeNode(
        _ runtime: LiveRuntime, name: String, directory: String? = nil, options: NodeOptions
    ) throws -> Node {
        var options = options
        options.storageName = storageName
        options.transportName = transportName
        options.electionPolicyName = electionPolicy.name
        options.shardKeyStrategy = shardKeyStrategy.name
        return Node(
            runtime: runtime, transport: network.makeTransport(runtime, node: name),
            engine: try makeStorage(StorageContext(runtime: runtime, directory: directory, memberName: name)),
            electionPolicy: electionPolicy,
            syncSourceSelector: try makeReadSelector() as? any SyncSourceSelecting,
            shardKeyStrategies: makeShardKeyStrategy, options: options)
    }

    /// Makes a router, on its loop.
    /// - Parameters:
    ///   - runtime: on whose loop the router lives.
    ///   - name: what the network and log lines know it by.
    ///   - options: how it behaves.
    public func makeRouter(_ runtime: LiveRuntime, name: String, options: RouterOptions) throws -> Router {
        // Found out here, where it may fail.
        var selectors = [try makeReadSelector()]
        return Router(
            runtime: runtime, transport: network.makeTransport(runtime, node: name),
            commands: DataCommands.declarations,
            makeSelector: { [makeReadSelector] in
                let next = try? makeReadSelector()
                if let next { selectors.append(next) }
                return selectors.removeLast()
            },
            strategies: { [makeShardKeyStrategy] name, strategyOptions throws(ServerError) in
                do { return try makeShardKeyStrategy(name, strategyOptions) } catch {
                    throw ServerError(.badValue, "The shard key strategy '\(name)' cannot be had here: \(error)")
                }
            }, options: options)
    }
}

extension PartOptions {
    /// As they are kept with a collection.
    var document: Document {
        Document { writer in
            for (name, value) in values.sorted(by: { $0.key < $1.key }) { writer.append(name, .string(value)) }
        }
    }

    init(_ document: Document) throws {
        var values: [String: String] = [:]
        for (name, value) in document.fields {
            guard let text = value.asString ?? value.asInteger.map({ "\($0)" }) else {
                throw PartOptionError("the option '\(name)' must be a string")
            }
            values[name] = text
        }
        self.init(values)
    }
}
