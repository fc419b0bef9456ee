import BSON
import Core
import Foundation
import Frontend
import Testing

@testable import DataNode

/// Every command refuses what it does not declare: walked over the table that requests are checked against, so that a
/// new command is in by being there.
@Suite struct CommandFieldTests {
    private static var commands: [RegisteredCommand] {
        Compatibility.all.filter { !$0.traits.contains(.memberOnly) && !$0.traits.contains(.handshake) }
    }

    /// A first argument that a command takes.
    private static func argument(of name: String) -> Value {
        switch name {
        case "explain": ["find": "c"]
        case "getMore": .int64(1)
        case "getParameter": "*"
        case "killSessions", "endSessions", "refreshSessions", "killAllSessions", "killAllSessionsByPattern": .array([])
        case "configureFailPoint": "failCommand"
        case "getLog": "*"
        case "renameCollection": "shop.c"
        default: name.hasPrefix("replSet") ? 1 : "c"
        }
    }

    private static func request(_ command: RegisteredCommand, _ field: String, _ value: Value) -> Document {
        let name = "\(command.name)"
        var document: Document = [:]
        document.append(name, argument(of: name))
        document.append(field, value)
        return document
    }

    private static func view(of value: Value, _ body: (ValueView) -> Bool) -> Bool {
        (["v": value] as Document).withView { view in view.first.map { body($0.value) } ?? false }
    }

    private static func database(of command: RegisteredCommand) -> String {
        command.traits.contains(.adminOnly) ? "admin" : "shop"
    }

    @Test("a field that a command does not declare is refused with 40415, whatever the command")
    func unknownFields() throws {
        let node = try NodeHarness(enableTestCommands: true)
        var walked = 0
        for command in Self.commands where !command.fields.isOpen {
            let reply = try node.run(
                Self.request(command, "noSuchField", 1), database: Self.database(of: command))
            #expect(reply.code == 40415, "\(command.name): \(reply)")
            walked += 1
        }
        #expect(walked > 50)
    }

    @Test("a declared field of another type is refused with its code, 14 for most, whatever the command and field")
    func wrongTypes() throws {
        let node = try NodeHarness(enableTestCommands: true)
        var (walked, others) = (0, 0)
        for command in Self.commands {
            for field in command.fields.fields {
                guard case .works = field.effect, field.types != .any else { continue }
                let reply = try node.run(
                    Self.request(command, "\(field.name)", .minKey), database: Self.database(of: command))
                let code = Int64(field.wrongTypeCode.rawValue)
                #expect(reply.code == code, "\(command.name).\(field.name): \(reply)")
                #expect(reply["errmsg"]?.asString?.contains("wrong type") == true)
                walked += 1
                if code != 14 { others += 1 }
            }
        }
        #expect(walked > 100 && others * 10 < walked)
    }

    @Test("null for a required field is the same as leaving it out: refused with 40414")
    func requiredFields() throws {
        let node = try NodeHarness(enableTestCommands: true)
        for command in Self.commands {
            let required = command.fields.fields.filter { $0.rules.contains(.required) }
            guard !required.isEmpty else { continue }
            for field in required {
                let reply = try node.run(
                    Self.request(command, "\(field.name)", .null), database: Self.database(of: command))
                #expect(reply.code == 40414, "\(command.name).\(field.name): \(reply)")
            }
        }
    }

    @Test("null for an optional field is the same as leaving it out, whatever the command and field")
    func optionalFields() throws {
        for command in Self.commands {
            let name = "\(command.name)"
            // What comes out of these depends on more than the request.
            if ["startSession", "serverStatus", "hostInfo", "currentOp", "connPoolStats", "shutdown"].contains(name) {
                continue
            }
            let database = Self.database(of: command)
            var plain: Document = [:]
            plain.append(name, Self.argument(of: name))
            let expected = try NodeHarness(enableTestCommands: true).run(plain, database: database)
            for field in command.fields.fields {
                if field.types == .any, case .works = field.effect { continue }
                let reply = try NodeHarness(enableTestCommands: true).run(
                    Self.request(command, "\(field.name)", .null), database: database)
                #expect(reply.code == expected.code, "\(command.name).\(field.name): \(reply) against \(expected)")
            }
        }
    }

    @Test("what MongoDB has and is not there yet is refused by name, a falsy value of it where nothing is asked for")
    func missingFields() throws {
        let node = try NodeHarness(enableTestCommands: true)
        for command in Self.commands {
            for field in command.fields.fields {
                let database = Self.database(of: command)
                guard case .refused(let asksForNothing) = field.effect else { continue }
                let something: Value =
                    "\(field.name)" == "collectionUUID" ? Self.uuid : ["a": 1, "enabled": true]
                let isNothing = ([false, 0, [:], something] as [Value]).filter { value in
                    asksForNothing.map { check in Self.view(of: value, check) } ?? false
                }
                for value in isNothing {
                    let reply = try node.run(Self.request(command, "\(field.name)", value), database: database)
                    #expect(reply.code != 115, "\(command.name).\(field.name): \(reply)")
                }
                #expect(!isNothing.contains(something))
                let reply = try node.run(Self.request(command, "\(field.name)", something), database: database)
                #expect(reply.code == 115, "\(command.name).\(field.name): \(reply)")
                #expect(reply["errmsg"]?.asString?.contains("\(field.name)") == true)
            }
        }
        for command in MissingCommands.all {
            var request: Document = [:]
            request.append("\(command.name)", 1)
            let reply = try node.run(request, database: "admin")
            #expect(reply.code == 115, "\(command.name): \(reply)")
        }
    }

    @Test("a field that is given twice is refused with 40413, whatever the command and field, null or not")
    func duplicates() throws {
        let node = try NodeHarness(enableTestCommands: true)
        let generic = ["comment", "maxTimeMS", "lsid", "$readPreference", "apiVersion"]
        for command in Self.commands {
            let own = command.fields.fields.filter { $0.types != .any }.map { "\($0.name)" }
            for name in own + generic + ["\(command.name)"] {
                for value in [.null, Self.value(of: name)] where value == .null || generic.contains(name) {
                    var request = Self.request(command, name, value)
                    request.append(name, .null)
                    let reply = try node.run(request, database: Self.database(of: command))
                    #expect(reply.code == 40413, "\(request): \(reply)")
                }
            }
        }
        for (name, value) in [("lsid", Value.document(["id": Self.uuid])), ("maxTimeMS", 5), ("comment", "c")] {
            var request: Document = ["find": "c"]
            request.append(name, value)
            request.append(name, value)
            #expect(try node.run(request).code == 40413)
        }
    }

    private static let uuid = Value.binary(subtype: 4, [UInt8](repeating: 1, count: 16))
    private static func value(of name: String) -> Value {
        switch name {
        case "maxTimeMS": 100
        case "lsid": ["id": uuid]
        case "$readPreference": ["mode": "primary"]
        case "apiVersion": "1"
        default: "c"
        }
    }

    @Test("explain checks what it explains as if it were run")
    func explained() throws {
        let node = try NodeHarness()
        let wrong: [(Document, Int64)] = [
            (["find": "c", "noSuchField": 1], 40415),
            (["find": "c", "maxTimeMS": "x"], 14),
            (["count": "c", "limit": "x"], 2),
            (["distinct": "c"], 40414),
            (["aggregate": "c", "pipeline": [], "cursor": ["size": 1]], 40415),
            (["aggregate": "c", "pipeline": [["$noSuchStage": 1]], "cursor": [:]], 40324),
            (["update": "c", "updates": [["q": [:], "u": ["$set": ["a": 1]], "upsrt": true]]], 40415),
            (["update": "c", "updates": [["q": [:], "u": ["$set": ["a": 1]], "multi": "x"]]], 14),
            (["update": "c", "updates": [["q": [:]]]], 40414),
            (["update": "c", "updates": [1]], 14),
            (["update": "c", "updates": []], 16),
            (["update": "c", "updates": [["q": [:], "u": ["$noSuch": 1]]]], 9),
            (["update": "c", "updates": [["q": [:], "u": ["a": 1]], ["q": [:], "u": ["a": 1]]]], 16),
            (["delete": "c", "deletes": [["q": [:]]]], 40414),
            (["delete": "c", "deletes": [["q": [:], "limit": 1, "sort": ["a": 1]]]], 40415),
            (["findAndModify": "c", "query": [:], "update": ["$noSuch": 1]], 9),
            (["findAndModify": "c", "query": [:], "remove": true, "new": true], 9),
        ]
        for (inner, code) in wrong {
            let reply = try node.run(["explain": .document(inner)])
            #expect(reply.code == code, "\(inner): \(reply)")
            let run = try node.run(inner)
            let failure = run["writeErrors"]?.asArray?.first?.asDocument
            if code != 16 { #expect(run.code ?? failure?.code == code, "\(inner): \(run)") }
        }
        let right: Document = [
            "update": "c", "updates": [["q": ["a": 1], "u": [["$set": ["b": "$a"]]], "multi": true]],
        ]
        #expect(try node.run(["explain": .document(right)]).isOK)
        #expect(try node.run(["explain": ["delete": "c", "deletes": [["q": [:], "limit": 0]]]]).isOK)
    }

    @Test("maxTimeMS goes with a getMore of a cursor that waits for data, and with no other")
    func getMoreTime() throws {
        let node = try NodeHarness()
        _ = try node.run(["create": "c", "capped": true, "size": 4096])
        _ = try node.run(["insert": "c", "documents": [["_id": 1], ["_id": 2], ["_id": 3]]])
        for (options, code) in [
            ([:], 2), (["tailable": true], 2), (["tailable": true, "awaitData": true], nil),
        ] as [(Document, Int64?)] {
            var find: Document = ["find": "c", "batchSize": 1]
            for (name, value) in options.fields { find.append(name, value) }
            let id = try #require(try node.run(find).cursorID)
            let next: Document = ["getMore": .int64(id), "collection": "c", "batchSize": 1]
            var timed = next
            timed.append("maxTimeMS", 50)
            #expect(try node.run(timed).code == code)
            // The cursor is still there.
            #expect(try node.run(next).isOK)
        }
    }

    @Test("a name with a null byte in it, which no document can have, is refused")
    func nullBytes() throws {
        let node = try NodeHarness()
        #expect(try node.run(["distinct": "c", "key": "a\0b"]).code == 31032)
        for name in ["$setField", "$unsetField", "$getField"] {
            var arguments: Document = ["field": "a\0b", "input": [:]]
            if name == "$setField" { arguments.append("value", 1) }
            let stage: Document = ["$project": ["x": [name: .document(arguments)]]]
            let reply = try node.run(["aggregate": "c", "pipeline": [.document(stage)], "cursor": [:]])
            #expect(reply.code == (name == "$getField" ? 9_527_900 : 9_534_700), "\(name): \(reply)")
        }
    }

    @Test("fields of statements are declared too")
    func statements() throws {
        let node = try NodeHarness()
        let cases: [(Document, Int64)] = [
            (["update": "c", "updates": [["q": [:], "u": ["$set": ["a": 1]], "upsrt": true]]], 40415),
            (["update": "c", "updates": [["q": [:], "u": ["$set": ["a": 1]], "multi": "yes"]]], 14),
            (["update": "c", "updates": [["q": [:]]]], 40414),
            (["delete": "c", "deletes": [["q": [:], "limit": 1, "sort": ["a": 1]]]], 40415),
            (["delete": "c", "deletes": [["q": [:]]]], 40414),
            (["aggregate": "c", "pipeline": [], "cursor": ["size": 1]], 40415),
        ]
        for (request, code) in cases {
            let reply = try node.run(request)
            #expect(reply.code == code, "\(request): \(reply)")
        }
        // Nothing is done when a later statement is wrong, however many there are.
        for count in [1, 5000] {
            var updates: [Value] = (0..<count).map { ["q": ["_id": .int32(Int32($0))], "u": ["a": 1], "upsert": true] }
            updates.append(["q": [:], "u": ["a": 1], "upsrt": true])
            #expect(try node.run(["update": "c", "updates": .array(Document(array: updates))]).code == 40415)
            #expect(try node.run(["count": "c"])["n"]?.asInteger == 0)
        }
    }

    @Test("with apiStrict only what is part of Stable API version 1 may be used")
    func stableAPI() throws {
        let node = try NodeHarness()
        let strict: (Document) -> Document = { request in
            var request = request
            request.append("apiVersion", "1")
            request.append("apiStrict", true)
            return request
        }
        #expect(try node.run(strict(["find": "c"])).isOK)
        #expect(try node.run(strict(["find": "c", "tailable": true])).code == 323)
        #expect(try node.run(strict(["distinct": "c", "key": "a"])).code == 323)
        let stage: (Value) -> Document = { ["aggregate": "c", "pipeline": [$0], "cursor": [:]] }
        #expect(try node.run(strict(stage(["$match": ["a": 1]]))).isOK)
        #expect(try node.run(strict(stage(["$collStats": ["count": [:]]]))).code != 323)
        #expect(try node.run(strict(stage(["$collStats": ["storageStats": [:]]]))).code == 323)
        #expect(try node.run(strict(stage(["$facet": ["x": [["$indexStats": [:]]]]]))).code == 323)
        let index: (Document) -> Document = { ["createIndexes": "c", "indexes": [.document($0)]] }
        #expect(try node.run(strict(index(["key": ["a": 1], "name": "a", "sparse": true]))).code == 323)
        #expect(try node.run(["find": "c", "apiVersion": "2"]).code == 322)
        #expect(try node.run(["find": "c", "apiStrict": true]).code == 4_886_600)
    }

    @Test("concerns go with the commands that honour them")
    func concerns() throws {
        let node = try NodeHarness()
        #expect(try node.run(["find": "c", "writeConcern": ["w": 1]]).code == 72)
        #expect(try node.run(["listCollections": 1, "readConcern": ["level": "majority"]]).code == 72)
        let after: Value = .timestamp(Timestamp(seconds: 1, increment: 1))
        #expect(
            try node.run(["find": "c", "readConcern": ["level": "available", "afterClusterTime": after]]).code == 72)
    }

    @Test("docs/compatibility.md is what the declarations say; scripts/compatibility writes it")
    func page() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/compatibility.md")
        let written = try String(contentsOf: file, encoding: .utf8)
        #expect(written == Compatibility.page.map { $0 + "\n" }.joined())
    }
}
