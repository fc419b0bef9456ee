public import BSON
public import Core
import Query

/// What `createIndexes` did, and what is left to do.
public struct CreateIndexesOutcome {
    public let indexesBefore: Int
    public internal(set) var indexesAfter: Int
    public let createdCollection: Bool
    /// A build to go on with (`IndexBuild.step`) until it is done; nil when all indexes are there.
    public let build: IndexBuild?
    /// Indexes that another call is building: the caller waits until they are ready.
    public let building: [CollectionIndex]
}

extension DataStore {
    /// Creates indexes: in one entry each when the collection is empty, else as a build that the caller goes on with.
    /// An index that is there already, with the same definition, is skipped; with another one: 85 or 86. Options that
    /// nobody knows are an error (197), or left out.
    public func createIndexes(
        _ namespace: Namespace, _ specifications: [DocumentView], _ context: WriteContext,
        ignoresUnknownOptions: Bool = false
    ) throws -> CreateIndexesOutcome {
        guard !specifications.isEmpty else {
            throw ServerError(.badValue, "Must specify at least one index to create")
        }
        let existed = catalog.find(namespace) != nil
        if !existed { try checkNoView(namespace) }
        var wanted: [IndexSpec] = []
        var inProgress: [CollectionIndex] = []
        for specification in specifications {
            let spec =
                ignoresUnknownOptions
                ? try IndexSpec.withoutUnknownOptions(specification).withView { view throws(ServerError) in
                    try CollectionIndex.spec(view)
                } : try CollectionIndex.spec(specification)
            if spec.expireAfterSeconds != nil, catalog.find(namespace)?.options.capped != nil {
                throw ServerError(.cannotCreateIndex, "Cannot create TTL index on a capped collection")
            }
            if let existing = try existing(spec, in: catalog.find(namespace), planned: wanted) {
                if existing.state == .building { inProgress.append(existing) }
            } else {
                wanted.append(spec)
            }
        }
        let collection = try ensureCollection(namespace, context)
        let before = collection.indexes.count
        guard before + wanted.count <= Limits.indexesPerCollectionMax else {
            throw ServerError(
                .cannotCreateIndex,
                "add index fails, too many indexes for \(namespace) key:\(wanted.last?.keyPattern.keys ?? [])")
        }
        var build: IndexBuild?
        if collection.count == 0 || collection.kind == .local || wanted.isEmpty {
            for spec in wanted { try createOnEmpty(spec, collection, context) }
            if collection.kind == .local, collection.count > 0, !wanted.isEmpty { try fillLocal(wanted, collection) }
        } else {
            build = try startIndexBuild(wanted, collection, context)
        }
        return CreateIndexesOutcome(
            indexesBefore: before, indexesAfter: collection.indexes.count, createdCollection: !existed, build: build,
            building: inProgress)
    }

    /// The index that makes creating `spec` a no-op; throws when one of that name or key has another definition.
    private func existing(_ spec: IndexSpec, in collection: Collection?, planned: [IndexSpec]) throws(ServerError)
        -> CollectionIndex?
    {
        let others = (collection?.indexes.map { $0.spec } ?? []) + planned
        for other in others {
            let sameName = other.name == spec.name
            let sameKey = other.keyPattern == spec.keyPattern
            guard sameName || sameKey else { continue }
            if sameKey, other.isIdIndex { return collection?.idIndex }
            if sameName, other.definition == spec.definition { return collection?.index(named: spec.name) }
            if sameName, !sameKey || !sameOptions(other, spec) {
                throw ServerError(
                    .indexKeySpecsConflict,
                    "An existing index has the same name as the requested index. When index names are not specified, "
                        + "they are auto generated and can cause conflicts. Please refer to our documentation. "
                        + "Requested index: \(spec.name)")
            }
            if !sameName, sameKey, !sameOptions(other, spec) { continue }
            throw ServerError(
                .indexOptionsConflict,
                sameName
                    ? "An equivalent index already exists with the same name but different options. "
                        + "Requested index: \(spec.name)"
                    : "Index already exists with a different name: \(other.name)")
        }
        return nil
    }

    /// Whether two indexes of one key hold the same documents: then they may not both exist.
    private func sameOptions(_ a: IndexSpec, _ b: IndexSpec) -> Bool {
        a.definition["partialFilterExpression"] == b.definition["partialFilterExpression"] && a.isSparse == b.isSparse
            && a.isUnique == b.isUnique
    }

    private func createOnEmpty(_ spec: IndexSpec, _ collection: Collection, _ context: WriteContext) throws {
        try step { try createOnEmpty(spec, collection, $0, context) }
    }

    /// Adds the creation of an index to a step that sees no documents in the collection.
    func createOnEmpty(
        _ spec: IndexSpec, _ collection: Collection, _ step: WriteStep, _ context: WriteContext
    ) throws {
        _ = try optime(step, collection.kind, context)
        try logCommand(collection.namespace.database, collection.uuid, collection.kind, step, context) { o in
            o.append("createIndexes", string: collection.namespace.collection)
            spec.definition.withView { view in for element in view { o.append(element.key, element.value) } }
        }
        try addIndex(spec, .ready, buildID: nil, to: collection, step)
    }

    /// A collection of `local` is small and this member's own: its index is filled in one step.
    private func fillLocal(_ specs: [IndexSpec], _ collection: Collection) throws {
        let added = collection.indexes.suffix(specs.count)
        for index in added { index.state = .building }
        let build = IndexBuild(store: self, collection: collection, indexes: Array(added), buildID: nil)
        do {
            while try build.step(until: .distantFuture) == .yield {}
        } catch {
            collection.indexes.removeAll { index in added.contains { $0 === index } }
            try versions.step(at: nil) { step in
                for index in added { step.dropTable(index.table) }
                try catalog.put(collection, step)
            }
            throw error
        }
        for index in added { index.state = .ready }
    }

    /// Adds an index to the catalog at the step's optime.
    func addIndex(
        _ spec: IndexSpec, _ state: CollectionIndex.State, buildID: CollectionUUID?, to collection: Collection,
        _ step: WriteStep
    ) throws {
        let since = collection.kind == .local ? .zero : step.optime?.timestamp ?? .zero
        let index = CollectionIndex(
            spec, table: try catalog.newTable(), state: state, visibleFrom: since, buildID: buildID)
        restoreDefinition(of: collection, afterRewindOf: step)
        collection.indexes.append(index)
        step.dropTable(index.table)
        try catalog.put(collection, step)
        collection.generation += 1
    }

    /// Drops indexes by name, key pattern, a list of names, or `*` for all but `_id`. Returns how many there were
    /// before.
    @discardableResult
    public func dropIndexes(_ namespace: Namespace, _ which: ValueView, _ context: WriteContext) throws -> Int {
        guard let collection = catalog.find(namespace) else {
            try checkNoView(namespace)
            throw ServerError(.namespaceNotFound, "ns not found \(namespace)")
        }
        let before = collection.indexes.count
        for index in try indexesToDrop(which, collection) {
            if index.state == .building, let build = indexBuilds.first(where: { $0.contains(index) }) {
                try abortIndexBuild(build, "index dropped", context)
                continue
            }
            try step { step in
                _ = try optime(step, collection.kind, context)
                try logCommand(namespace.database, collection.uuid, collection.kind, step, context) { o2 in
                    index.definition.withView { view in for element in view { o2.append(element.key, element.value) } }
                } o: { o in
                    o.append("dropIndexes", string: namespace.collection)
                    o.append("index", string: index.name)
                }
                try dropIndexes([index], of: collection, step)
            }
        }
        return before
    }

    private func indexesToDrop(_ which: ValueView, _ collection: Collection) throws(ServerError) -> [CollectionIndex] {
        func named(_ name: String) throws(ServerError) -> CollectionIndex {
            guard let index = collection.index(named: name) else {
                throw ServerError(.indexNotFound, "index not found with name [\(name)]")
            }
            return index
        }
        let found: [CollectionIndex]
        if let name = which.asString {
            if name == "*" { return Array(collection.indexes.dropFirst()) }
            found = [try named(name)]
        } else if let pattern = which.asDocument {
            let matching = collection.indexes.filter { $0.keyPattern == pattern.document }
            guard matching.count <= 1 else {
                throw ServerError(
                    .ambiguousIndexKeyPattern,
                    "\(matching.count) indexes found for key: \(matching[0].keyPattern.keys), identify by name instead."
                )
            }
            guard let index = matching.first else {
                throw ServerError(.indexNotFound, "can't find index with key: \(pattern.document.keys)")
            }
            found = [index]
        } else if let names = which.asArray {
            var indexes: [CollectionIndex] = []
            for element in names {
                guard let name = element.value.asString else {
                    throw ServerError(.typeMismatch, "index names must be strings")
                }
                indexes.append(try named(name))
            }
            found = indexes
        } else {
            throw ServerError(.typeMismatch, "dropIndexes.index must be a string, a document or an array of strings")
        }
        if found.contains(where: { $0.isIDIndex }), collection.options.clustered != nil {
            throw ServerError(ErrorCode(rawValue: 5_979_800), "It is illegal to drop the clusteredIndex")
        }
        if found.contains(where: { $0.isIDIndex }) {
            throw ServerError(.invalidOptions, "cannot drop _id index")
        }
        return found
    }

    /// Drops indexes at the step's optime.
    func dropIndexes(_ dropped: [CollectionIndex], of collection: Collection, _ step: WriteStep) throws {
        let tables = dropped.map { $0.table }
        restoreDefinition(of: collection, afterRewindOf: step)
        collection.indexes.removeAll { index in dropped.contains { $0 === index } }
        try catalog.put(collection, step)
        if !tables.isEmpty { try dropTables(tables, of: collection, step) }
        collection.generation += 1
    }
}
