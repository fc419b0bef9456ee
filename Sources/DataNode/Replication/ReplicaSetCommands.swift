internal import BSON
internal import Core
internal import Data
internal import Frontend
internal import Replication

/// The commands by which people look after a replica set.
enum ReplicaSetCommands {
    static func add(to table: inout CommandSet) {
        table.add(
            Command(
                "replSetInitiate", [.adminOnly], .empty, help: "makes a replica set of members that have none",
                run: initiate))
        table.add(
            Command("replSetGetStatus", [.adminOnly], .replSetGetStatus, help: "the members and their state") {
                context in
                let role = try role(context)
                try role.appendStatus(
                    to: context.writer, afterInitialSync: context.body["initialSync"]?.isTruthy ?? false)
                return .done
            })
        table.add(
            Command("replSetGetConfig", [.adminOnly], .replSetGetConfig, help: "the configuration") { context in
                let role = try role(context)
                let status = context.body["commitmentStatus"]
                guard let asked = status.map(\.asBool) ?? false else {
                    throw wrongType("replSetGetConfig.commitmentStatus", status!, "bool")
                }
                try role.member.writeConfig(to: context.writer, commitmentStatus: asked)
                return .done
            })
        table.add(
            Command(
                "replSetReconfig", [.adminOnly], .replSetReconfig, help: "changes the configuration", run: reconfigure))
        table.add(
            Command("replSetStepDown", [.adminOnly], .replSetStepDown, help: "makes the primary a secondary") {
                context in
                let period = try seconds(context.argument, "replSetStepDown")
                let force = context.body["force"]?.isTruthy ?? false
                let catchUp = try context.body["secondaryCatchUpPeriodSecs"].map { value throws(ServerError) in
                    try seconds(value, "secondaryCatchUpPeriodSecs")
                }
                return try MemberCommands.answer(context) { role, id in
                    // The member must know of the last write before it judges who has it.
                    role.reportProgress()
                    role.drive { member, now in
                        member.onStepDownCommand(
                            id, stepDownFor: period, catchUpFor: catchUp ?? (force ? .zero : .seconds(10)),
                            force: force,
                            now: now)
                    }
                }
            })
        table.add(
            Command("replSetStepUp", [.adminOnly], .replSetStepUp, help: "makes a secondary stand for election at once")
            { context in
                let request = try StepUpRequest(decoding: context.body)
                return try MemberCommands.answer(context) { role, id in
                    role.drive { member, now in member.onStepUpCommand(id, skipDryRun: request.skipsDryRun, now: now) }
                }
            })
        table.add(
            Command("replSetFreeze", [.adminOnly], .empty, help: "keeps a secondary from standing for so many seconds")
            {
                context in
                let period = try seconds(context.argument, "replSetFreeze")
                return try MemberCommands.answer(context) { role, id in
                    role.drive { member, now in member.onFreezeCommand(id, for: period, now: now) }
                }
            })
        table.add(
            Command("replSetSyncFrom", [.adminOnly], .empty, help: "makes a secondary sync from that member") {
                context in
                let role = try role(context)
                guard let host = context.argument.asString else {
                    throw wrongType("replSetSyncFrom", context.argument, "string")
                }
                context.writer.append("syncFromRequested", string: host)
                if let before = role.member.syncSourceHost {
                    context.writer.append("prevSyncTarget", string: before)
                }
                return try MemberCommands.answer(context) { role, id in
                    role.drive { member, now in member.onSyncFromCommand(id, host: host, now: now) }
                }
            })
        table.add(
            Command("replSetAbortPrimaryCatchUp", [.adminOnly], .empty, help: "lets a new primary take writes at once")
            {
                context in
                try MemberCommands.answer(context) { role, id in
                    role.drive { member, now in member.onAbortCatchUpCommand(id, now: now) }
                }
            })
        table.add(
            Command("appendOplogNote", [.adminOnly, .write], .appendOplogNote, help: "writes a no-op entry") {
                context in
                let request = try OplogNoteRequest(decoding: context.body)
                _ = try role(context)
                if let time = request.target, context.node.lastOpTime.timestamp >= time {
                    throw ServerError(
                        .staleClusterTime, "nothing to write: the last entry is at \(context.node.lastOpTime) already")
                }
                return try context.catalogWrite { write in
                    try request.note.withView { _ = try context.node.data.appendNoOp($0, write) }
                }
            })
    }

    private static func role(_ context: CommandContext) throws(ServerError) -> ReplicaSetRole {
        guard let role = context.node.replication else { throw OplogServing.notAMember() }
        return role
    }

    private static func seconds(_ value: ValueView, _ field: String) throws(ServerError) -> Duration {
        // `{replSetStepDown: true}` and the like: no number means the default.
        if value.type == .bool { return .seconds(60) }
        guard let number = value.asNumber, number >= 0, number <= Double(Int32.max) else {
            throw ServerError(.badValue, "\(field) must be a number of seconds from 0 to \(Int32.max)")
        }
        return .milliseconds(Int64(number * 1000))
    }

    private static func initiate(_ context: CommandContext) throws -> CommandOutcome {
        let role = try role(context)
        let config: ReplicaSetConfig
        if let view = context.argument.asDocument, !view.isEmpty {
            // Config servers are what they were started as; the field says no more.
            if context.node.configServer != nil, view["configsvr"]?.asBool == true {
                let rest = Document { writer in
                    for field in view where !(field.key == "configsvr") { writer.append(field.key, field.value) }
                }
                config = try rest.withView { view throws(ServerError) in
                    try ReplicaSetConfig(userDocument: view, defaultVersion: 1)
                }
            } else {
                config = try ReplicaSetConfig(userDocument: view, defaultVersion: 1)
            }
        } else if context.argument.type == .string || context.argument.type == .array {
            throw wrongType("replSetInitiate", context.argument, "object")
        } else {
            let set = context.node.options.replicaSetName ?? ""
            let host = context.node.frontend.advertisedName
            let document: Document = [
                "_id": .string(set), "version": 1, "members": [["_id": 0, "host": .string(host)]],
            ]
            config = try document.withView { view throws(ServerError) in
                try ReplicaSetConfig(userDocument: view)
            }
            context.writer.append(
                "info2", string: "no configuration specified. Using a default configuration for the set")
            context.writer.append("me", string: host)
        }
        if context.node.data.hasUserData, config.members.count > 1 {
            context.runtime.log.log(.info, "replication", "initiating with data: the other members will clone it")
        }
        return try MemberCommands.answer(context) { _, id in
            role.drive { member, now in member.onInitiateCommand(id, config, now: now) }
        }
    }

    private static func reconfigure(_ context: CommandContext) throws -> CommandOutcome {
        _ = try role(context)
        guard let view = context.argument.asDocument else {
            throw wrongType("replSetReconfig", context.argument, "object")
        }
        let config = try ReplicaSetConfig(userDocument: view)
        let force = context.body["force"]?.isTruthy ?? false
        let deadline = context.deadline == .distantFuture ? nil : context.deadline
        return try MemberCommands.answer(context) { role, id in
            role.drive { member, now in
                member.onReconfigCommand(id, config, force: force, deadline: deadline, now: now)
            }
        }
    }
}
