internal import BSON
internal import Core
internal import Data
internal import Sharding

/// A migration as one of its shards keeps it: a document of `config.shard.migrations`.
///
///     {_id: UUID, role: "donor" | "recipient", ns, uuid, epoch: Timestamp, min, max, shard, hosts, checkpoint: {…}}
struct MigrationTask: Hashable {
    static let namespace = Namespace("config", "shard.migrations")

    let id: MigrationID
    let name: Namespace
    let uuid: CollectionUUID
    let epoch: Epoch
    let range: KeyRange
    /// The other shard.
    let shard: ShardID
    let hosts: SetConnection

    /// As the document and the messages have it.
    func append(to writer: DocumentWriter) {
        writer.append("ns", string: name.fullName)
        writer.append("uuid", uuid)
        writer.append("epoch", timestamp: epoch.timestamp)
        writer.append("min", .binary(subtype: 0, range.lower))
        writer.append("max", range.upper.map { .binary(subtype: 0, $0) } ?? .null)
        writer.append("shard", string: shard.name)
        writer.append("hosts", string: hosts.description)
    }

    func document(role: StaticString, _ checkpoint: Document) -> Document {
        Document { writer in
            writer.append("_id", id.uuid)
            writer.append("role", string: role)
            append(to: writer)
            writer.append("checkpoint", checkpoint)
        }
    }

    /// Reads it from a document, or from a message that has the id in another field.
    init(_ document: Document, id field: StaticString = "_id") throws(ServerError) {
        let ids = document.withView { (CollectionUUID($0[field]), CollectionUUID($0["uuid"])) }
        guard let id = ids.0, let uuid = ids.1,
            let name = document["ns"]?.asString.flatMap({ Namespace(fullName: $0) }),
            let epoch = document["epoch"]?.asTimestamp, let shard = document["shard"]?.asString,
            let hosts = document["hosts"]?.asString.flatMap({ SetConnection($0) })
        else { throw ServerError(.failedToParse, "a migration is not whole") }
        self.id = MigrationID(id)
        self.name = name
        self.uuid = uuid
        self.epoch = Epoch(epoch)
        self.shard = ShardID(shard)
        self.hosts = hosts
        range = try KeyRange(reading: document)
    }
}

extension MigrationID {
    /// Reads the id of a message.
    init(reading value: Value?) throws(ServerError) {
        let uuid = (["id": value ?? .null] as Document).withView { CollectionUUID($0["id"]) }
        guard let uuid else { throw ServerError(.failedToParse, "a migration has no id") }
        self.init(uuid)
    }
}

extension MigrationOutcome {
    /// `{outcome: "committed", validAfter, major}` or `{outcome: "aborted"}`.
    var document: Document {
        switch self {
        case .committed(let validAfter, let major):
            ["outcome": "committed", "validAfter": .timestamp(validAfter), "major": .int64(Int64(major))]
        case .aborted: ["outcome": "aborted"]
        }
    }

    /// Nil for `{outcome: "undecided"}` and what is none.
    init?(_ document: Document) {
        switch document["outcome"]?.asString {
        case "aborted": self = .aborted
        case "committed":
            guard let validAfter = document["validAfter"]?.asTimestamp,
                let major = document["major"]?.asInteger.flatMap({ UInt32(exactly: $0) })
            else { return nil }
            self = .committed(validAfter: validAfter, major: major)
        default: return nil
        }
    }
}

extension MigrationDonor.Checkpoint {
    var document: Document {
        switch self {
        case .cloning: ["at": "cloning"]
        case .writesClosed: ["at": "writesClosed"]
        case .readsClosed: ["at": "readsClosed"]
        case .aborting: ["at": "aborting"]
        case .committed(let validAfter, let major):
            ["at": "committed", "validAfter": .timestamp(validAfter), "major": .int64(Int64(major))]
        case .aborted: ["at": "aborted"]
        case .ended(let committed): ["at": "ended", "committed": .bool(committed)]
        }
    }

    init(_ document: Document) throws(ServerError) {
        switch document["at"]?.asString {
        case "cloning": self = .cloning
        case "writesClosed": self = .writesClosed
        case "readsClosed": self = .readsClosed
        case "aborting": self = .aborting
        case "committed":
            self = .committed(
                validAfter: document["validAfter"]?.asTimestamp ?? .zero,
                major: document["major"]?.asInteger.flatMap { UInt32(exactly: $0) } ?? 0)
        case "aborted": self = .aborted
        case "ended": self = .ended(committed: document["committed"]?.asBool ?? false)
        default: throw ServerError(.failedToParse, "a migration has no checkpoint")
        }
    }
}

extension MigrationRecipient.Checkpoint {
    var document: Document {
        switch self {
        case .receiving: ["at": "receiving"]
        case .drained(let through):
            Document { writer in
                writer.append("at", string: "drained")
                writer.append("through", through)
            }
        case .owning(let validAfter, let major):
            ["at": "owning", "validAfter": .timestamp(validAfter), "major": .int64(Int64(major))]
        case .discarding: ["at": "discarding"]
        case .discarded: ["at": "discarded"]
        }
    }

    init(_ document: Document) throws(ServerError) {
        switch document["at"]?.asString {
        case "receiving": self = .receiving
        case "drained": self = .drained(through: OpTime(reading: document["through"]) ?? .null)
        case "owning":
            self = .owning(
                validAfter: document["validAfter"]?.asTimestamp ?? .zero,
                major: document["major"]?.asInteger.flatMap { UInt32(exactly: $0) } ?? 0)
        case "discarding": self = .discarding
        case "discarded": self = .discarded
        default: throw ServerError(.failedToParse, "a migration has no checkpoint")
        }
    }
}

extension OpTime {
    init?(reading value: Value?) {
        guard let found = value?.asDocument?.withView({ OpTime($0) }) else { return nil }
        self = found
    }
}
