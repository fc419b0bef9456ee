internal import BSON
internal import Core
internal import LiveRuntime
internal import Quorate

/// `quorate storage`: data directories, looked at while no member uses them.
enum StorageCommand {
    static func specification() -> CommandSpecification {
        CommandSpecification(
            "storage", summary: "Looks at a data directory that no member is using.",
            subcommands: [
                CommandSpecification(
                    "check", summary: "Verifies every checksum, and every index against its documents.",
                    details: """
                        DIRECTORY is a member's own: with 'up --data DIR', the directory below DIR that has its name.
                        Nothing in it is changed. The exit status is 0 when all is well, 1 when something is not.
                        """,
                    positionals: ["DIRECTORY"]
                ) { try await look(at: $0, check) },
                CommandSpecification(
                    "stats", summary: "Shows what a directory holds, by collection.", positionals: ["DIRECTORY"]
                ) { try await look(at: $0, statistics) },
                CommandSpecification(
                    "dump", summary: "Prints the documents of a collection as Extended JSON, one a line.",
                    details: "NAMESPACE is DATABASE.COLLECTION; local.oplog.rs is the oplog.",
                    positionals: ["DIRECTORY", "NAMESPACE"]
                ) { try await look(at: $0, dump) },
            ])
    }

    private static func look(
        at arguments: Arguments, _ body: (StorageInspection, Arguments) async throws -> Int32
    ) async throws -> Int32 {
        let inspection: StorageInspection
        do {
            inspection = try await StorageInspection.open(
                arguments.positionals[0], log: LineLog(minimumLevel: .info))
        } catch let damage as StorageDamage {
            Console.error("quorate: \(damage)")
            return 1
        }
        do {
            let status = try await body(inspection, arguments)
            await inspection.close()
            return status
        } catch {
            await inspection.close()
            throw error
        }
    }

    private static func succeed(
        _ inspection: StorageInspection, _ command: Document, _ database: String
    ) async throws -> Document {
        let reply = try await inspection.run(command, database: database)
        guard reply["ok"]?.asNumber == 1 else {
            throw UsageError("\(command.keys.first ?? "the command"): \(reply["errmsg"]?.asString ?? "it failed")")
        }
        return reply
    }

    /// All collections, as database and name, in order.
    private static func collections(_ inspection: StorageInspection) async throws -> [(database: String, name: String)]
    {
        var found: [(String, String)] = []
        let databases = try await succeed(inspection, ["listDatabases": 1, "nameOnly": true], "admin")
        for database in databases["databases"]?.asArray ?? [] {
            guard let name = database.asDocument?["name"]?.asString else { continue }
            let list = try await succeed(
                inspection, ["listCollections": 1, "cursor": ["batchSize": 1_000_000]], name)
            for entry in list["cursor"]?.asDocument?["firstBatch"]?.asArray ?? [] {
                guard let entry = entry.asDocument, entry["type"]?.asString != "view",
                    let collection = entry["name"]?.asString
                else { continue }
                found.append((name, collection))
            }
        }
        return found.sorted { ($0.0, $0.1) < ($1.0, $1.1) }
    }

    private static func check(_ inspection: StorageInspection, _ arguments: Arguments) async throws -> Int32 {
        Console.print("all files are readable, and their checksums fit")
        var bad = 0
        for (database, name) in try await collections(inspection) where !(database == "local" && name == "oplog.rs") {
            let reply = try await inspection.run(["validate": .string(name), "full": true], database: database)
            let isValid = reply["ok"]?.asNumber == 1 && reply["valid"]?.asBool == true
            if !isValid { bad += 1 }
            Console.print(
                "\(isValid ? "ok  " : "BAD ") \(database).\(name): \(reply["nrecords"]?.asInteger ?? 0) documents, "
                    + "\(reply["nIndexes"]?.asInteger ?? 0) indexes"
                    + (isValid ? "" : ": \(problem(of: reply))"))
        }
        return bad == 0 ? 0 : 1
    }

    private static func problem(of reply: Document) -> String {
        let errors = reply["errors"]?.asArray?.compactMap(\.asString) ?? []
        return errors.first ?? reply["errmsg"]?.asString ?? "not valid"
    }

    private static func statistics(_ inspection: StorageInspection, _ arguments: Arguments) async throws -> Int32 {
        let status = try await succeed(inspection, ["serverStatus": 1], "admin")
        if let engine = status["storageEngine"]?.asDocument?["statistics"]?.asDocument {
            for key in engine.keys { Console.print("\(key): \(engine[key].map { "\($0)" } ?? "")") }
        }
        for (database, name) in try await collections(inspection) {
            let reply = try await succeed(inspection, ["collStats": .string(name)], database)
            Console.print(
                "\(database).\(name): \(reply["count"]?.asInteger ?? 0) documents, "
                    + "\(reply["size"]?.asInteger ?? 0) bytes, \(reply["nindexes"]?.asInteger ?? 0) indexes, "
                    + "\(reply["totalIndexSize"]?.asInteger ?? 0) bytes of index")
        }
        return 0
    }

    private static func dump(_ inspection: StorageInspection, _ arguments: Arguments) async throws -> Int32 {
        let namespace = arguments.positionals[1]
        guard let dot = namespace.firstIndex(of: "."), dot != namespace.startIndex,
            namespace.index(after: dot) != namespace.endIndex
        else { throw UsageError("NAMESPACE must be DATABASE.COLLECTION, not '\(namespace)'") }
        let (database, name) = (String(namespace[..<dot]), String(namespace[namespace.index(after: dot)...]))
        guard try await collections(inspection).contains(where: { $0 == (database, name) }) else {
            throw UsageError("there is no collection \(namespace)")
        }
        var reply = try await succeed(inspection, ["find": .string(name)], database)
        while let cursor = reply["cursor"]?.asDocument {
            for document in (cursor["firstBatch"] ?? cursor["nextBatch"])?.asArray ?? [] {
                if let document = document.asDocument { Console.print(document.extendedJSON(.canonical)) }
            }
            guard let id = cursor["id"]?.asInteger, id != 0 else { break }
            reply = try await succeed(inspection, ["getMore": .int64(id), "collection": .string(name)], database)
        }
        return 0
    }
}
