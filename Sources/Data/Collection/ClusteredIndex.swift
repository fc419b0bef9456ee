public import BSON
import Core

/// What `create` says of a clustered collection: `clusteredIndex: {key: {_id: 1}, unique: true, name, v: 2}` and
/// `expireAfterSeconds`.
///
/// Documents come in the order of their `_id`s where no other order is asked for, and expire by dates there. They are
/// stored as those of other collections are: records, with an index on `_id`.
public struct ClusteredIndex: Hashable, Sendable {
    /// The index's name; nil when the client names none.
    var name: String?
    /// Seconds after which a document expires whose `_id` is a date.
    public internal(set) var expireAfterSeconds: Int64?

    /// Nil for a value that asks for no such collection.
    init?(_ value: ValueView) throws(ServerError) {
        guard let document = value.asDocument else {
            guard value.type == .bool || value.type.isNumber else {
                throw ServerError(
                    .typeMismatch,
                    "BSON field 'create.clusteredIndex' is the wrong type '\(value.type.operatorName)', expected types "
                        + "'[bool, object]'")
            }
            guard value.isTruthy else { return nil }
            throw ServerError(
                ErrorCode(rawValue: 5_979_703), "'clusteredIndex' has to be an object: {key: {_id: 1}, unique: true}")
        }
        for element in document where !["v", "key", "name", "unique"].contains(element.key.string) {
            throw ServerError(
                .unknownField, "BSON field 'create.clusteredIndex.\(element.key.string)' is an unknown field.")
        }
        try ClusteredIndex.checkKey(document["key"])
        try ClusteredIndex.checkUnique(document["unique"])
        if let version = document["v"], version.type != .null {
            guard version.type.isNumber else { throw ClusteredIndex.wrongType("v", version, "int") }
            guard version.asNumber == 2 else {
                throw ServerError(ErrorCode(rawValue: 5_979_704), "The clusteredIndex's version has to be 2")
            }
        }
        if let name = document["name"], name.type != .null {
            guard let text = name.asString else { throw ClusteredIndex.wrongType("name", name, "string") }
            self.name = text
        }
    }

    private static func wrongType(_ field: String, _ value: ValueView, _ wanted: String) -> ServerError {
        ServerError(
            .typeMismatch,
            "BSON field 'create.clusteredIndex.\(field)' is the wrong type '\(value.type.operatorName)', expected type "
                + "'\(wanted)'")
    }

    private static func missing(_ field: String) -> ServerError {
        ServerError(.missingField, "BSON field 'create.clusteredIndex.\(field)' is missing but a required field")
    }

    private static func checkKey(_ value: ValueView?) throws(ServerError) {
        guard let value, value.type != .null else { throw missing("key") }
        guard let key = value.asDocument else { throw wrongType("key", value, "object") }
        guard key.fieldCount == 1, let field = key.first, field.key == "_id", field.value.asNumber == 1 else {
            throw ServerError(
                .invalidIndexSpecificationOption, "The clusteredIndex option supports only the key {_id: 1}")
        }
    }

    private static func checkUnique(_ value: ValueView?) throws(ServerError) {
        guard let value, value.type != .null else { throw missing("unique") }
        guard value.type == .bool || value.type.isNumber else { throw wrongType("unique", value, "bool") }
        guard value.isTruthy else {
            throw ServerError(ErrorCode(rawValue: 5_979_700), "The clusteredIndex option requires unique: true")
        }
    }

    /// Reads `expireAfterSeconds`; nil for `"off"`.
    static func seconds(_ value: ValueView) throws(ServerError) -> Int64? {
        if value.asString == "off" { return nil }
        guard let seconds = value.asNumber, seconds.isFinite, seconds >= 0, seconds <= Double(Int32.max) else {
            throw ServerError(
                .invalidOptions, "'expireAfterSeconds' has to be a number from 0 to \(Int32.max), or 'off'")
        }
        return Int64(seconds)
    }

    /// Writes the options as `listCollections` shows them and `create` takes them.
    func write(to writer: DocumentWriter) {
        writer.document("clusteredIndex") { index in
            index.append("v", int32: 2)
            index.append("key" as String, ["_id": 1])
            index.append("name", string: name ?? "_id_")
            index.append("unique", bool: true)
        }
        if let expireAfterSeconds { writer.append("expireAfterSeconds", int64: expireAfterSeconds) }
    }

    /// The index as `listIndexes` shows it.
    public var definition: Document {
        ["v": 2, "key": ["_id": 1], "name": .string(name ?? "_id_"), "unique": true, "clustered": true]
    }
}
