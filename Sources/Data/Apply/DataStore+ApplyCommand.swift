import BSON
import Core
import Query

extension DataStore {
    /// Applies a command entry (`op: "c"`).
    func applyCommand(_ view: OplogEntryView, _ mode: ApplyMode, _ step: WriteStep) throws -> ApplyOutcome {
        guard let command = view.object.first else { throw malformed(view, "is empty") }
        switch command.key {
        case "applyOps": return try applyGroup(view, command.value, mode, step)
        case "create": try applyCreate(view, command.value, mode, step)
        case "drop":
            if let collection = try target(view, mode) { try drop(collection, step) }
        case "dropDatabase":
            // Its collections went by entries of their own, all but what this member has profiled.
            if let profile = catalog.find(.profile(of: view.database)) { try drop(profile, step) }
            onDatabaseDropped?(view.database)
        case "renameCollection": try applyRename(view, mode, step)
        case "collMod":
            guard let collection = try target(view, mode) else { break }
            let change = Result { () throws(ServerError) in
                try CollectionModification(view.object, collection, isApplying: true)
            }
            if case .failure(let error) = change, mode != .steady, error.code == .indexNotFound { break }
            try modify(collection, try change.get(), step)
        case "convertToCapped":
            guard let collection = try target(view, mode) else { break }
            try convertToCapped(collection, try CollectionOptions.Capped(size: view.object["size"]), step)
        case "createIndexes": try applyCreateIndexes(view, mode, step)
        case "dropIndexes", "deleteIndexes":
            guard let collection = try target(view, mode), let name = view.object["index"]?.asString else { break }
            if let index = collection.index(named: name) {
                try dropIndexes([index], of: collection, step)
            } else if mode == .steady {
                throw malformed(view, "drops the index \(name), which is not here")
            }
        case "startIndexBuild", "commitIndexBuild", "abortIndexBuild":
            return try applyIndexBuild(view, command.key.string, mode, step)
        default:
            throw ServerError(
                .oplogOperationUnsupported,
                "the oplog command '\(command.key.string)' at \(view.optime) is not supported")
        }
        return .applied
    }

    private func malformed(_ view: OplogEntryView, _ what: String) -> InvariantViolation {
        InvariantViolation("the command entry at \(view.optime) \(what)")
    }

    /// The collection that a command is about. Nil, except in steady state, when it is not there.
    private func target(_ view: OplogEntryView, _ mode: ApplyMode) throws -> Collection? {
        if let uuid = view.uuid, let collection = catalog.find(uuid) { return collection }
        if mode == .steady { throw malformed(view, "is for a collection that is not here") }
        return nil
    }

    /// Applies the operations of an entry that groups several: all of them in its step.
    private func applyGroup(
        _ view: OplogEntryView, _ operations: ValueView, _ mode: ApplyMode, _ step: WriteStep
    ) throws -> ApplyOutcome {
        guard let operations = operations.asArray else { throw malformed(view, "groups no operations") }
        var missing: [MissingDocument] = []
        for element in operations {
            guard let operation = element.value.asDocument else { throw malformed(view, "groups what is no operation") }
            switch try apply(try OplogEntryView(operation, of: view), mode, step) {
            case .applied: break
            case .needsFetch(let documents): missing += documents
            case .waitsForIndexBuild(let build): return .waitsForIndexBuild(build)
            }
        }
        return missing.isEmpty ? .applied : .needsFetch(missing)
    }

    private func applyCreate(
        _ view: OplogEntryView, _ name: ValueView, _ mode: ApplyMode, _ step: WriteStep
    ) throws {
        guard let name = name.asString, let uuid = view.uuid else { throw malformed(view, "creates nothing") }
        let namespace = Namespace(view.database, name)
        if mode != .steady {
            let existing = catalog.find(uuid)
            if catalog.find(namespace) !== existing { try moveAside(namespace, step) }
            if let existing {
                // It had this name first, whatever it was called since: the entries to come rename it again.
                if existing.namespace != namespace { try rename(existing, to: namespace, over: nil, step) }
                return
            }
        } else if catalog.find(namespace) != nil || catalog.find(uuid) != nil {
            throw malformed(view, "creates \(namespace), which is here already")
        }
        _ = try create(namespace, uuid, try CollectionOptions(parsing: view.object), .replicated, step)
    }

    private func applyRename(_ view: OplogEntryView, _ mode: ApplyMode, _ step: WriteStep) throws {
        guard let to = view.object["to"]?.asString else { throw malformed(view, "renames to nothing") }
        let namespace = try Namespace(validating: to)
        let over = CollectionUUID(view.object["dropTarget"]).flatMap { catalog.find($0) }
        guard let collection = try target(view, mode), collection.namespace != namespace else {
            // What was renamed is gone again, or has the name already; what it replaced has to go all the same.
            if let over { try drop(over, step) }
            return
        }
        if mode != .steady, catalog.find(namespace) !== over { try moveAside(namespace, step) }
        try rename(collection, to: namespace, over: over, step)
    }

    /// While cloning, a name may be taken by a collection that got it later. It makes room under a name of its own
    /// until the entry comes that renames, or drops, it.
    private func moveAside(_ namespace: Namespace, _ step: WriteStep) throws {
        guard let other = catalog.find(namespace) else { return }
        let aside = Namespace(namespace.database, "tmp.\(other.uuid)")
        try rename(other, to: aside, over: nil, step)
    }

    private func applyCreateIndexes(_ view: OplogEntryView, _ mode: ApplyMode, _ step: WriteStep) throws {
        guard let collection = try target(view, mode) else { return }
        let definition = Document { writer in
            for element in view.object where !(element.key == "createIndexes") {
                writer.append(element.key, element.value)
            }
        }
        let spec = try definition.withView { try CollectionIndex.spec($0) }
        if let existing = collection.index(named: spec.name) {
            guard mode != .steady else {
                throw malformed(view, "creates the index \(existing.name), which is here already")
            }
            return
        }
        if mode == .steady {
            try invariant(step.documentCount(of: collection) == 0, "an index is created in one entry on data")
        }
        try addIndex(spec, mode == .steady ? .ready : .deferred, buildID: nil, to: collection, step)
    }

    // MARK: Index builds

    private func applyIndexBuild(
        _ view: OplogEntryView, _ command: String, _ mode: ApplyMode, _ step: WriteStep
    ) throws -> ApplyOutcome {
        guard let buildID = CollectionUUID(view.object["indexBuildUUID"]), let stored = view.object["indexes"]?.asArray
        else { throw malformed(view, "names no index build") }
        guard let collection = try target(view, mode) else { return .applied }
        var specs: [IndexSpec] = []
        for element in stored {
            if let definition = element.value.asDocument { specs.append(try CollectionIndex.spec(definition)) }
        }
        if mode != .steady {
            try applyCloneBuild(command, buildID, specs, collection, step)
            return .applied
        }
        if command == "startIndexBuild" {
            _ = try startIndexBuild(buildID, specs, collection, at: view.optime, step)
            return .applied
        }
        guard let build = indexBuilds.first(where: { $0.buildID == buildID }) else {
            throw malformed(view, "ends an index build that is not here")
        }
        if command == "abortIndexBuild" {
            try abort(build, step)
        } else if build.isScanned, !build.mustRestart {
            try commit(build, at: view.optime, step)
        } else {
            return .waitsForIndexBuild(build)
        }
        return .applied
    }

    /// While cloning, a build is only noted: its indexes are deferred, with the build's id until it is committed.
    private func applyCloneBuild(
        _ command: String, _ buildID: CollectionUUID, _ specs: [IndexSpec], _ collection: Collection, _ step: WriteStep
    ) throws {
        let here = specs.compactMap { collection.index(named: $0.name) }
        switch command {
        case "startIndexBuild":
            let missing = specs.filter { collection.index(named: $0.name) == nil }
            for spec in missing {
                try addIndex(spec, .deferred, buildID: buildID, to: collection, step)
            }
        case "commitIndexBuild":
            // One that was not seen to start was cloned, or dropped and made again later: the entries to come say.
            for spec in specs where collection.index(named: spec.name) == nil {
                try addIndex(spec, .deferred, buildID: nil, to: collection, step)
            }
            for index in here where index.buildID == buildID {
                index.buildID = nil
                step.onRewind { index.buildID = buildID }
            }
            try catalog.put(collection, step)
        default: try dropIndexes(here.filter { $0.buildID == buildID }, of: collection, step)
        }
    }
}
