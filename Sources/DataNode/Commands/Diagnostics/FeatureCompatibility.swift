internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// `setFeatureCompatibilityVersion`, kept as MongoDB keeps it: a replicated document of `admin.system.version`, which
/// `getParameter` shows. Nothing here depends on it: all members run one version.
enum FeatureCompatibility {
    static let namespace = Namespace("admin", "system.version")
    private static let documentID = "featureCompatibilityVersion"
    private static let latest = "8.0"
    private static let known = ["7.0", "7.3", "8.0"]

    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "setFeatureCompatibilityVersion", [.adminOnly, .write], .setFeatureCompatibilityVersion,
                help: "sets the version whose features the set may use", run: set))
    }

    /// Makes the document where it is missing: at the start of a standalone, and of a term. A primary that cannot write
    /// now leaves it to the next; nothing depends on it.
    static func create(_ node: Node, _ context: WriteContext) throws {
        guard node.data.catalog.find(namespace) == nil else { return }
        let document: Document = ["_id": .string(documentID), "version": .string(latest)]
        do {
            try document.withView { try node.data.putDocument($0, in: namespace, context) }
        } catch let error as ServerError {
            node.runtime.log.log(.info, "node", "no feature compatibility version was written: \(error.message)")
        }
    }

    /// The version that was last set.
    static func version(_ node: Node) -> String {
        guard let collection = node.data.catalog.find(namespace) else { return latest }
        let id: Document = ["_id": .string(documentID)]
        let found = try? id.withView { view in
            try node.data.findOneByID(collection, view["_id"]!)?["version"]?.asString
        }
        return found.flatMap { $0 } ?? latest
    }

    private static func set(_ context: CommandContext) throws -> CommandOutcome {
        guard let wanted = context.argument.asString else {
            throw wrongType(
                "setFeatureCompatibilityVersion.setFeatureCompatibilityVersion", context.argument, "string")
        }
        guard known.contains(wanted) else {
            throw ServerError(
                ErrorCode(rawValue: 4_926_900),
                "Invalid feature compatibility version value '\(wanted)'. Expected one of "
                    + known.map { "'\($0)'" }.joined(separator: ", "))
        }
        guard context.body["confirm"]?.asBool == true else {
            throw ServerError(
                ErrorCode(rawValue: 7_369_100),
                "Once you have changed the version, going back may not be possible; to go on, send 'confirm: true'")
        }
        try context.checkWritable()
        let concern = context.arguments.writeConcern == nil ? .majority : try context.writeConcern()
        let before = context.node.lastOpTime
        let document: Document = ["_id": .string(documentID), "version": .string(wanted)]
        try document.withView { try context.node.data.putDocument($0, in: namespace, context.writeContext()) }
        let after = context.node.lastOpTime
        return context.finishWrite(after == before ? nil : after, concern)
    }
}
