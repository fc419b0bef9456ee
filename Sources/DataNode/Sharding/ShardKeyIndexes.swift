internal import BSON
internal import Core
internal import Data
internal import Query
internal import Sharding

/// Which indexes a sharded collection may have.
enum ShardKeyIndexes {
    /// Every unique index must begin with the shard key: uniqueness could be kept on no other. That on `_id` is kept by
    /// each shard for itself.
    /// - Throws: `InvalidOptions` that names the index.
    static func checkUnique(_ collection: Collection, _ key: Document, _ namespace: Namespace) throws(ServerError) {
        for index in collection.indexes where index.spec.isUnique && !index.keyPattern.begins(with: key) {
            throw ServerError(
                .invalidOptions,
                "can't shard collection '\(namespace.fullName)' with unique index on \(index.keyPattern) and proposed "
                    + "shard key \(key). Uniqueness can't be maintained unless shard key is a prefix")
        }
    }
}

extension ShardService {
    /// - Throws: `CannotCreateIndex` for a unique index that does not begin with the collection's shard key.
    func checkIndex(_ specification: DocumentView, of namespace: Namespace) throws {
        guard let owned = try ownerships.collection(namespace), specification["unique"]?.isTruthy == true,
            let pattern = specification["key"]?.asDocument?.document, !pattern.begins(with: owned.collection.key),
            pattern.keys != ["_id"]
        else { return }
        throw ServerError(
            .cannotCreateIndex,
            "cannot create unique index over \(pattern) with shard key pattern \(owned.collection.key) of "
                + "\(namespace.fullName)")
    }

    /// The same for an index that `collMod` makes unique.
    func checkModification(_ command: DocumentView, of namespace: Namespace) throws {
        guard let owned = try ownerships.collection(namespace), let change = command["index"]?.asDocument,
            change["unique"]?.isTruthy == true || change["prepareUnique"]?.isTruthy == true,
            let collection = node.data.catalog.find(namespace)
        else { return }
        let index =
            change["name"]?.asString.flatMap { collection.index(named: $0) }
            ?? collection.indexes.first { $0.keyPattern == change["keyPattern"]?.asDocument?.document }
        guard let index, !index.keyPattern.begins(with: owned.collection.key) else { return }
        throw ServerError(
            .invalidOptions,
            "cannot convert the index \(index.name) of \(namespace.fullName) to unique: it does not begin with the "
                + "shard key \(owned.collection.key)")
    }

    /// - Throws: `CannotDropShardKeyIndex` when none would be left by which ranges of keys are found.
    func checkDropIndexes(_ which: ValueView, of namespace: Namespace) throws {
        guard let owned = try ownerships.collection(namespace), let pattern = owned.space.supportingIndex,
            let collection = node.data.catalog.find(namespace)
        else { return }
        let names = which.asArray.map { list in list.compactMap { $0.value.asString } } ?? [which.asString ?? ""]
        let isGoing: (CollectionIndex) -> Bool = { index in
            guard index.name != "_id_" else { return false }
            return names.contains("*") || names.contains(index.name)
                || index.keyPattern == which.asDocument?.document
        }
        let useful = collection.readyIndexes.filter { $0.keyPattern.begins(with: pattern) }
        guard useful.contains(where: isGoing), useful.allSatisfy(isGoing) else { return }
        throw ServerError(
            ErrorCode(rawValue: 303),
            "Cannot drop the last index compatible with the shard key \(owned.collection.key) of "
                + "\(namespace.fullName)")
    }

    /// - Throws: `IllegalOperation` for a collection that is sharded: the config servers have to know of what is done.
    func checkUnsharded(_ namespace: Namespace, _ what: String) throws {
        guard try ownerships.collection(namespace) != nil else { return }
        throw ServerError(
            .illegalOperation, "\(namespace.fullName) is sharded: it cannot be \(what) on one shard alone")
    }
}
