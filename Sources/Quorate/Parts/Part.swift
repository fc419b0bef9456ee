public import Core

/// An implementation of a plug point that can be chosen by name: in code through the builder, on the command line
/// through a flag.
///
/// - Parameter Product: what the plug point's users get: `any ElectionPolicy`.
public struct Part<Product>: Sendable {
    /// As in `--storage NAME`.
    public let name: String
    /// One line for `quorate plugins`.
    public let summary: String
    /// The options that it takes.
    public let options: [PartOption]
    private let maker: @Sendable (PartOptions) throws -> Product

    /// A part that can be registered.
    /// - Parameters:
    ///   - name: as on the command line.
    ///   - summary: one line for `quorate plugins`.
    ///   - options: those that it takes.
    ///   - make: called with options that the part has; throws `PartOptionError` for a bad value.
    public init(
        _ name: String, summary: String, options: [PartOption] = [],
        make: @escaping @Sendable (PartOptions) throws -> Product
    ) {
        self.name = name
        self.summary = summary
        self.options = options
        maker = make
    }

    /// - Throws: `PartOptionError` for an option that the part does not have, or a bad value.
    public func make(_ options: PartOptions = PartOptions()) throws -> Product {
        for name in options.values.keys.sorted() where !self.options.contains(where: { $0.name == name }) {
            throw PartOptionError("the part '\(self.name)' has no option '\(name)'")
        }
        return try maker(options)
    }
}

/// Makes the storage engine of one member; called for each of its starts, on its loop.
public typealias StorageMaker = @Sendable (StorageContext) throws -> any StorageEngine

/// What a storage engine does with a directory.
public enum StorageDirectory: Sendable {
    /// It keeps no files: naming a directory for it is a mistake.
    case refused
    case optional
    case required

    func check(_ directory: String?, for name: String) throws(PartOptionError) {
        switch self {
        case .refused where directory != nil:
            throw PartOptionError("the storage '\(name)' keeps no files: it takes no directory (--data)")
        case .required where directory == nil:
            throw PartOptionError("the storage '\(name)' needs a directory (--data)")
        default: break
        }
    }
}

extension Part where Product == StorageMaker {
    /// A storage engine.
    /// - Parameters:
    ///   - name: as on the command line.
    ///   - summary: one line for `quorate plugins`.
    ///   - options: those that it takes.
    ///   - directory: checked before `make` is called.
    ///   - make: makes the engine of one member, on its loop; the context has the options.
    public init(
        _ name: String, summary: String, options: [PartOption] = [], directory: StorageDirectory = .refused,
        make: @escaping StorageMaker
    ) {
        self.init(name, summary: summary, options: options) { options in
            { context in
                try directory.check(context.directory, for: name)
                return try make(
                    StorageContext(
                        runtime: context.runtime, directory: context.directory, memberName: context.memberName,
                        options: options))
            }
        }
    }
}
