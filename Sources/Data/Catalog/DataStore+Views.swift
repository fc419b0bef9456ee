public import BSON
public import Core
public import Query

/// What a name stands for when it is read: a collection, and the stages of the views on the way to it.
struct ResolvedNamespace {
    var namespace: Namespace
    /// Empty for a collection; a view may have none, too.
    var stages: [Value] = []
    var isView = false
}

extension DataStore {
    // MARK: Reading

    /// The view of that name at a point in time; nil when there is none.
    public func view(_ namespace: Namespace, at point: ReadPoint = .latest) throws -> ViewDefinition? {
        guard let place = try catalog.find(ViewDefinition.place(of: namespace.database), at: point) else { return nil }
        let id: Document = ["_id": .string(namespace.fullName)]
        return try id.withView { view in
            try view.first.flatMap { try findOneByID(place, $0.value, at: point) }.map {
                try ViewDefinition(stored: $0)
            }
        }
    }

    /// All views of a database, in the order of their names.
    public func views(in database: String) throws -> [ViewDefinition] {
        guard let place = catalog.find(ViewDefinition.place(of: database)) else { return [] }
        var views: [ViewDefinition] = []
        try versions.forEachRow(place.table) { _, value in
            views.append(try ViewDefinition(stored: try storedDocument(value)))
        }
        return views.sorted { $0.namespace < $1.namespace }
    }

    /// What a read of `namespace` has to read, and with which stages before its own.
    func resolve(_ namespace: Namespace, at point: ReadPoint) throws -> ResolvedNamespace {
        var resolved = ResolvedNamespace(namespace: namespace)
        var depth = 0
        while try catalog.find(resolved.namespace, at: point) == nil,
            let view = try self.view(resolved.namespace, at: point)
        {
            depth += 1
            guard depth <= Limits.viewDepthMax else { throw DataStore.tooDeep }
            resolved.isView = true
            resolved.namespace = view.source
            resolved.stages = view.pipeline.fields.map { $0.value } + resolved.stages
        }
        if resolved.isView { try checkViewIsWhole(resolved) }
        return resolved
    }

    /// A router reads a view of a sharded collection by its pipeline: one shard has only a part of it.
    private func checkViewIsWhole(_ resolved: ResolvedNamespace) throws {
        guard isRouted, let collection = catalog.find(resolved.namespace), try ownership(of: collection) != nil else {
            return
        }
        let details = Document { writer in
            writer.document("resolvedView") { view in
                view.append("ns", string: resolved.namespace.fullName)
                view.array("pipeline") { array in for stage in resolved.stages { array.append(stage) } }
            }
        }
        throw ServerError(
            ErrorCode(rawValue: 169),
            "Resolved views on sharded collections must be executed by mongos: \(resolved.namespace)",
            details: details)
    }

    /// A stage that reads another collection sees all of it, or nothing: only the router can ask all shards.
    func checkWhole(_ namespace: Namespace) throws {
        guard isRouted, let collection = catalog.find(namespace), try ownership(of: collection) != nil else { return }
        throw ServerError(
            ErrorCode(rawValue: 28769), "\(namespace.fullName) is sharded: a stage on one shard cannot read all of it")
    }

    private static var tooDeep: ServerError {
        ServerError(
            .viewDepthLimitExceeded,
            "View depth too deep or view cycle detected; maximum depth is \(Limits.viewDepthMax)")
    }

    /// The collection of that name.
    /// - Throws: `CommandNotSupportedOnView` (166) for a view, `NamespaceNotFound` (26) when there is nothing.
    public func collection(_ namespace: Namespace) throws -> Collection {
        if let collection = catalog.find(namespace) { return collection }
        try checkNoView(namespace)
        throw ServerError(.namespaceNotFound, "ns does not exist: \(namespace)")
    }

    /// - Throws: `CommandNotSupportedOnView` (166) for a view.
    public func checkNoView(_ namespace: Namespace) throws {
        guard try view(namespace) != nil else { return }
        throw ServerError(.commandNotSupportedOnView, "Namespace \(namespace) is a view, not a collection")
    }

    // MARK: Changing

    /// Creates a view. One that exists and is the same stays as it is.
    /// - Throws: `NamespaceExists` (48); `GraphContainsCycle` (5) when it would read itself; what is wrong with its
    ///   pipeline.
    public func createView(
        _ namespace: Namespace, _ command: DocumentView, _ context: WriteContext, _ query: QueryContext
    ) throws {
        let (viewOn, pipeline) = try ViewDefinition.fields(command)
        guard let viewOn else {
            throw ServerError(.invalidOptions, "'pipeline' requires 'viewOn' to also be specified")
        }
        try DataStore.checkViewOptions(command)
        let definition = ViewDefinition(namespace, viewOn: viewOn, pipeline: pipeline ?? Document(array: []))
        if try view(namespace) == definition { return }
        guard try catalog.find(namespace) == nil && view(namespace) == nil else {
            throw ServerError(.namespaceExists, "namespace \(namespace) already exists")
        }
        try namespace.checkUserWritable()
        try check(definition, query)
        let place = try ensureViews(of: namespace.database, context)
        _ = try definition.stored.withView { try insertOne($0, into: place, context) }
    }

    private static func checkViewOptions(_ command: DocumentView) throws(ServerError) {
        for element in command where element.value.type != .null {
            switch element.key {
            case "clusteredIndex":
                throw ServerError(
                    ErrorCode(rawValue: 6_026_500), "The 'clusteredIndex' option is not supported with views")
            case "timeseries", "expireAfterSeconds", "idIndex", "autoIndexId", "changeStreamPreAndPostImages":
                throw ServerError(.invalidOptions, "the option '\(element.key.string)' is not supported on a view")
            case "encryptedFields":
                throw ServerError(
                    ErrorCode(rawValue: 6_346_401), "The 'encryptedFields' option is not supported with views")
            case "collation": try CollectionOptions.checkCollation(element.value)
            default: continue
            }
        }
    }

    /// Changes what a view reads and how: what a `collMod` does not mention stays.
    public func modifyView(
        _ old: ViewDefinition, _ command: DocumentView, _ context: WriteContext, _ query: QueryContext
    ) throws {
        for element in command {
            switch element.key {
            case "validator", "validationLevel", "validationAction", "index", "cappedSize", "cappedMax",
                "expireAfterSeconds", "changeStreamPreAndPostImages", "timeseries":
                guard element.value.type == .null else {
                    throw ServerError(
                        .invalidOptions, "option not supported on a view: \(element.key.string)")
                }
            default: continue
            }
        }
        let (viewOn, pipeline) = try ViewDefinition.fields(command)
        var new = old
        if let viewOn { new.viewOn = viewOn }
        if let pipeline { new.pipeline = pipeline }
        guard new != old else { return }
        try check(new, query)
        try change(old.namespace) { record, stored, place in
            try new.stored.withView { document in
                try step {
                    try update(
                        record, old: stored, new: document, logged: .replacement, in: place, $0, context, nil,
                        StatementOutcome(kind: .update, n: 1, nModified: 1))
                }
            }
        }
    }

    /// Drops a view; false when there is none.
    public func dropView(_ namespace: Namespace, _ context: WriteContext) throws -> Bool {
        try change(namespace) { record, stored, place in
            try step {
                try delete(record, old: stored, in: place, $0, context, nil, StatementOutcome(kind: .delete, n: 1))
            }
        }
    }

    /// Calls `body` with the stored document of a view; false when there is none.
    @discardableResult
    private func change(
        _ namespace: Namespace, _ body: (RecordKey, DocumentView, Collection) throws -> Void
    ) throws -> Bool {
        guard let place = catalog.find(ViewDefinition.place(of: namespace.database)) else { return false }
        let id: Document = ["_id": .string(namespace.fullName)]
        return try id.withView { view in
            guard let value = view.first?.value, let found = try record(withID: value, in: place) else { return false }
            try body(found.key, found.document, place)
            return true
        }
    }

    // MARK: Checks

    private func check(_ view: ViewDefinition, _ query: QueryContext) throws {
        _ = try Namespace(validating: view.namespace.database, collection: view.viewOn)
        try checkGraph(view)
        for (_, stage) in view.pipeline.fields {
            guard let name = stage.asDocument?.keys.first else { continue }
            switch name {
            case "$out", "$merge":
                throw ServerError(
                    .optionNotSupportedOnView, "The aggregation stage \(name) cannot be used in a view definition")
            case "$currentOp", "$listSessions", "$listLocalSessions", "$documents":
                throw ServerError(
                    .invalidNamespace, "The aggregation stage \(name) cannot be used in a view definition")
            case "$changeStream":
                guard !oplog.isEmpty else {
                    throw ServerError(
                        ErrorCode(rawValue: 40573), "The $changeStream stage is only supported on replica sets")
                }
                throw ServerError(
                    .optionNotSupportedOnView, "The aggregation stage \(name) cannot be used in a view definition")
            default: continue
            }
        }
        // Whatever else is wrong shows when it is opened.
        let cursor = try view.pipeline.withView {
            try AggregateCursor(self, view.source, pipeline: $0, context: query) { _, _ in [] }
        }
        cursor.close()
    }

    /// A view may read others, but not, by any way, itself; and not over more than so many of them.
    private func checkGraph(_ view: ViewDefinition) throws {
        var seen: Set<Namespace> = []
        var bytes = view.pipeline.byteCount
        /// The longest way from here through views.
        func walk(_ from: ViewDefinition) throws -> Int {
            var deepest = 0
            for next in from.dependencies {
                guard next != view.namespace else {
                    throw ServerError(
                        .graphContainsCycle, "View cycle detected: \(view.namespace) would read itself")
                }
                guard seen.insert(next).inserted, let found = try self.view(next) else { continue }
                bytes += found.pipeline.byteCount
                deepest = max(deepest, try walk(found))
            }
            return deepest + 1
        }
        guard try walk(view) <= Limits.viewDepthMax else { throw DataStore.tooDeep }
        guard bytes <= Limits.documentBytesMax else {
            throw ServerError(
                .viewPipelineMaxSizeExceeded,
                "View pipeline is too large and exceeds the maximum size of \(Limits.documentBytesMax) bytes")
        }
    }
}
