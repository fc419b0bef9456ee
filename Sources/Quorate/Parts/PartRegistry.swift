public import Core

/// A plug point as the builder, the flags and `quorate plugins` know it. One more kind of parts is one more of these.
public struct PartKind<Product>: Sendable {
    /// What chooses a part on the command line, without the dashes; one kind has it.
    public let flag: String
    /// As the list of parts calls it.
    public let title: String
    /// What a part of this kind decides, for `--help`.
    public let help: String
    /// The part that is taken when the flag is not given.
    public let defaultPart: String
    /// Whether only commands that start sharded clusters, or nodes of them, take the flag.
    public let concernsSharding: Bool

    /// A kind of parts; `PartRegistry.register` adds its section.
    public init(flag: String, title: String, help: String, defaultPart: String, concernsSharding: Bool = false) {
        self.flag = flag
        self.title = title
        self.help = help
        self.defaultPart = defaultPart
        self.concernsSharding = concernsSharding
    }
}

extension PartKind where Product == StorageMaker {
    /// Storage engines.
    public static var storage: PartKind {
        PartKind(flag: "storage", title: "storage", help: "where data is kept", defaultPart: "memory")
    }
}

extension PartKind where Product == any TransportNetwork {
    /// Transports, by the network that makes them.
    public static var transport: PartKind {
        PartKind(
            flag: "transport", title: "transport", help: "how members talk to each other", defaultPart: "socket")
    }
}

extension PartKind where Product == any ElectionPolicy {
    /// Election policies.
    public static var electionPolicy: PartKind {
        PartKind(
            flag: "election-policy", title: "election policy", help: "when members stand for election",
            defaultPart: "fast")
    }
}

extension PartKind where Product == any ReadSelector {
    /// Read selectors.
    public static var readSelector: PartKind {
        PartKind(
            flag: "read-selector", title: "read selector", help: "which of the allowed members is read, or copied",
            defaultPart: "mongodb")
    }
}

extension PartKind where Product == any ShardKeyStrategy {
    /// Shard key strategies.
    public static var shardKeyStrategy: PartKind {
        PartKind(
            flag: "shard-key-strategy", title: "shard key strategy", help: "how documents are spread over shards",
            defaultPart: "mongodb", concernsSharding: true)
    }
}

/// The parts that the builder and the command line know by name: the one list of them. A program of your own registers
/// its parts here, and hands the registry to the same command line or to a `ReplicaSet`.
///
///     var parts = PartRegistry.standard
///     parts.register(.electionPolicy, Part("mine", summary: "as I like it") { _ in MyPolicy() })
public struct PartRegistry: Sendable {
    /// A part as lists show it.
    public struct Entry: Sendable {
        /// What it is chosen by.
        public let name: String
        /// One line about it.
        public let summary: String
        /// The options that it takes.
        public let options: [PartOption]
        /// The `Part` itself. Its type depends on its kind, under whose flag it is kept.
        fileprivate let part: any Sendable
    }

    /// The parts of one kind as lists and flags show them.
    public struct Section: Sendable {
        /// What chooses a part of this kind on the command line, without the dashes.
        public let flag: String
        /// The kind's name.
        public let title: String
        /// What a part of this kind decides.
        public let help: String
        /// The part that is taken when nobody chooses.
        public let defaultPart: String
        /// Whether only commands that start sharded clusters, or nodes of them, take the flag.
        public let concernsSharding: Bool
        /// In the order in which they were first registered.
        public fileprivate(set) var entries: [Entry] = []
        /// By name, why a part is not there that could be, and what to do to have it.
        public fileprivate(set) var leftOut: [String: String] = [:]
    }

    /// By kind, in the order in which they were first registered.
    public private(set) var sections: [Section] = []

    /// An empty registry.
    public init() {}

    /// Adds a part, in place of one of the same kind and name if there is one.
    public mutating func register<Product>(_ kind: PartKind<Product>, _ part: Part<Product>) {
        let entry = Entry(name: part.name, summary: part.summary, options: part.options, part: part)
        let section = section(kind)
        sections[section].leftOut[part.name] = nil
        if let index = sections[section].entries.firstIndex(where: { $0.name == part.name }) {
            sections[section].entries[index] = entry
        } else {
            sections[section].entries.append(entry)
        }
    }

    /// The place of a kind's section, made when it is not there.
    private mutating func section<Product>(_ kind: PartKind<Product>) -> Int {
        if let section = sections.firstIndex(where: { $0.flag == kind.flag }) { return section }
        sections.append(
            Section(
                flag: kind.flag, title: kind.title, help: kind.help, defaultPart: kind.defaultPart,
                concernsSharding: kind.concernsSharding))
        return sections.count - 1
    }

    /// Says of a part that it is not in this program: whoever asks for it gets the reason in place of the list of
    /// names.
    /// - Parameters:
    ///   - kind: what it would be.
    ///   - name: how it would be asked for.
    ///   - why: one line, with what to do to have it.
    public mutating func leaveOut<Product>(_ kind: PartKind<Product>, _ name: String, _ why: String) {
        sections[section(kind)].leftOut[name] = why
    }

    /// - Throws: `PartOptionError` when no part of that kind has the name.
    public func part<Product>(_ kind: PartKind<Product>, _ name: String) throws -> Part<Product> {
        let section = sections.first { $0.flag == kind.flag }
        if let why = section?.leftOut[name] { throw PartOptionError(why) }
        let entries = section?.entries ?? []
        guard let part = entries.first(where: { $0.name == name })?.part as? Part<Product> else {
            throw PartOptionError(
                "no \(kind.title) '\(name)' is registered; there is \(entries.map(\.name).joined(separator: ", "))")
        }
        return part
    }
}
