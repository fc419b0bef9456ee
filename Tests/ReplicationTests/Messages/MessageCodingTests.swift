import BSON
import Core
import Testing

@testable import Replication

/// What holds for every message between members: it survives encoding, and what is not one is refused.
@Suite struct MessageCodingTests {
    @Test("a message survives encoding", arguments: MessageSample.all)
    func roundTrip(_ sample: MessageSample) throws {
        #expect(try sample.encoded.withView { try sample.recode($0) } == sample.encoded)
    }

    @Test("a message without one of its fields is refused, unless the field is optional", arguments: MessageSample.all)
    func missing(_ sample: MessageSample) throws {
        for path in paths(sample) where !sample.unread.contains(path) {
            let lacking = change(sample.encoded, path) { _ in nil }
            #expect(lacking != sample.encoded)
            if sample.optional.contains(path) {
                #expect(throws: Never.self, "\(path)") { try lacking.withView { try sample.recode($0) } }
            } else {
                refuse(lacking, sample, path)
            }
        }
    }

    @Test("a message with a field of another type is refused, optional or not", arguments: MessageSample.all)
    func wrongType(_ sample: MessageSample) throws {
        for path in paths(sample) where !sample.unread.contains(path) && path != "id" {
            for value in [Value.minKey, .double(0.5), .null] {
                // A number stands for a boolean in what people send, too.
                if path == "skipDryRun", case .double = value { continue }
                refuse(change(sample.encoded, path) { _ in value }, sample, path)
            }
        }
    }

    @Test("a number that does not fit is refused", arguments: MessageSample.all)
    func outOfRange(_ sample: MessageSample) throws {
        for path in paths(sample) {
            let field = path.split(separator: ".").last.map(String.init) ?? path
            let bad: [Value] =
                switch field {
                case "fromId", "memberId", "primaryId", "candidateIndex", "primaryIndex", "syncSourceIndex", "rbid":
                    [.int64(1 << 40)]
                case "after" where sample.name == "CloneDocumentsRequest of a batch": [.int64(-1)]
                case "maxAwaitMillis", "bytes": [.int64(-1)]
                case "state": [.int64(1 << 40), .int32(77)]
                case "reason" where sample.name == "VoteRequest": ["because"]
                case "outcome": ["perhaps"]
                default: []
                }
            for value in bad { refuse(change(sample.encoded, path) { _ in value }, sample, path) }
        }
    }

    @Test(
        "a row of session records that is none is refused",
        arguments: [
            [:], ["key": .binary(subtype: 0, [1])], ["record": ["_id": 1]], ["key": "a", "record": ["_id": 1]],
            ["key": .binary(subtype: 0, [1]), "record": [1]], ["key": .binary(subtype: 0, [1]), "record": .null],
            ["key": .null, "record": ["_id": 1]],
        ] as [Document])
    func malformedRows(_ row: Document) throws {
        let good: Document = ["key": .binary(subtype: 0, [1]), "record": ["_id": 1]]
        let reply: Document = ["records": .array([.document(good), .document(row)])]
        #expect(throws: ServerError.self) { try reply.withView { _ = try CloneSessionsReply(decoding: $0).rows } }
        let fine: Document = ["records": .array([.document(good)])]
        #expect(try fine.withView { try CloneSessionsReply(decoding: $0).rows.count } == 1)
    }

    @Test("a list that is longer than its limit is refused")
    func longLists() {
        let optimes = CommonPointRequest(
            optimes: Array(repeating: OpTime(1, 1), count: Limits.rollbackOptimesPerRequest + 1))
        #expect(throws: ServerError.self) {
            try Document { optimes.encode(to: $0) }.withView { _ = try CommonPointRequest(decoding: $0) }
        }
        let position = UpdatePosition.Position(
            memberID: 1, incarnation: MemberFixture.incarnation(1), config: .none, progress: Progress())
        let positions = UpdatePosition(
            setName: "rs", term: 1, positions: Array(repeating: position, count: Limits.membersMax + 1))
        #expect(throws: ServerError.self) {
            try Document { positions.encode(to: $0) }.withView { _ = try UpdatePosition(decoding: $0) }
        }
    }

    @Test("no truncated message gets as far as its reader", arguments: MessageSample.all)
    func truncated(_ sample: MessageSample) {
        for length in 0..<sample.encoded.byteCount {
            #expect(throws: InvalidBSON.self, "\(length) bytes") {
                _ = try Document(validating: Array(sample.encoded.bytes.prefix(length)))
            }
        }
    }

    @Test("damaged messages are read or refused, whatever is damaged", arguments: MessageSample.all)
    func damaged(_ sample: MessageSample) {
        var random = SplitMix64(seed: 1)
        for _ in 0..<500 {
            var bytes = sample.encoded.bytes
            for _ in 0...random.next() % 3 {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let damaged = try? Document(validating: bytes) else { continue }
            do {
                _ = try damaged.withView { try sample.recode($0) }
            } catch {
                #expect(error is ServerError)
            }
        }
    }

    @Test("the error names the message and the field")
    func errors() {
        #expect {
            try Document().withView { _ = try FetchOplogRequest(decoding: $0) }
        } throws: {
            "\($0)" == "FailedToParse (9): replSetFetchOplog.after is missing"
        }
        let list: Document = ["setName": "rs", "term": 1, "optimes": [["memberId": "one"]]]
        #expect {
            try list.withView { _ = try UpdatePosition(decoding: $0) }
        } throws: {
            "\($0)" == "FailedToParse (9): replSetUpdatePosition.optimes.memberId must be an integer of 32 bits"
        }
    }

    // MARK: Helpers

    private func refuse(_ document: Document, _ sample: MessageSample, _ path: String) {
        do {
            _ = try document.withView { try sample.recode($0) }
            Issue.record("\(sample.name) was read, with a bad '\(path)'")
        } catch let error as ServerError {
            let expected: [ErrorCode] =
                path == "config" ? [.failedToParse, .invalidReplicaSetConfig] : [.failedToParse]
            #expect(expected.contains(error.code), "\(path): \(error)")
        } catch {
            Issue.record("\(path): \(error)")
        }
    }

    /// All fields with the fields of what they hold, elements of arrays left out of the paths.
    private func paths(_ sample: MessageSample) -> [String] { paths(in: sample.encoded, "", sample) }

    private func paths(in document: Document, _ prefix: String, _ sample: MessageSample) -> [String] {
        document.fields.flatMap { field -> [String] in
            let path = prefix + field.key
            guard !sample.opaque.contains(path), !sample.unread.contains(path) else { return [path] }
            switch field.value {
            case .document(let inner): return [path] + paths(in: inner, path + ".", sample)
            case .array(let elements):
                guard case .document(let first)? = elements["0"] else { return [path] }
                return [path] + paths(in: first, path + ".", sample)
            default: return [path]
            }
        }
    }

    /// Changes the field at that path; in an array, in its first element.
    private func change(_ document: Document, _ path: String, _ to: (Value) -> Value?) -> Document {
        let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
        var changed = document
        guard let value = document[parts[0]] else { return document }
        guard parts.count > 1 else {
            changed[parts[0]] = to(value)
            return changed
        }
        switch value {
        case .document(let inner): changed[parts[0]] = .document(change(inner, parts[1], to))
        case .array(var elements):
            if case .document(let first)? = elements["0"] { elements["0"] = .document(change(first, parts[1], to)) }
            changed[parts[0]] = .array(elements)
        default: break
        }
        return changed
    }
}
