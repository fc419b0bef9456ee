import BSON
import Core

@testable import Replication

/// One message with every field that it may have, and how it is read.
struct MessageSample: CustomStringConvertible, @unchecked Sendable {
    let name: String
    let encoded: Document
    /// Reads a message and writes it again.
    let recode: (DocumentView) throws -> Document
    /// Fields that may be left out; paths with dots.
    var optional: Set<String> = []
    /// Fields that the message's own reader does not look at.
    var unread: Set<String> = []
    /// Fields of any type, and documents whose insides are another's matter.
    var opaque: Set<String> = []

    var description: String { name }

    /// A message that carries all that it is made of.
    init<Message>(
        _ name: String, _ message: Message, _ encode: @escaping (Message, DocumentWriter) -> Void,
        _ decode: @escaping (DocumentView) throws -> Message, optional: Set<String> = [], unread: Set<String> = [],
        opaque: Set<String> = []
    ) {
        self.name = name
        encoded = Document { encode(message, $0) }
        recode = { view in
            let read = try decode(view)
            return Document { encode(read, $0) }
        }
        self.optional = optional
        self.unread = unread
        self.opaque = opaque
    }

    init<Request: MemberRequest>(
        _ request: Request, _ note: String = "", optional: Set<String> = [], unread: Set<String> = [],
        opaque: Set<String> = []
    ) {
        self.init(
            "\(Request.self)\(note)", request, { $0.encode(to: $1) }, { try Request(decoding: $0) }, optional: optional,
            unread: unread, opaque: opaque)
    }
}

extension MessageSample {
    static var all: [MessageSample] { control + fetching + cloning }

    private static let optime = OpTime(3, 9)
    private static let version = ConfigVersion(version: 3, term: 2)
    private static let uuid = CollectionUUID(high: 0x0123_4567_89AB_4DEF, low: 0x8123_4567_89AB_CDEF)
    private static let setID = ObjectID(high: 0x0102_0304_0506_0708, low: 0x090A_0B0C)

    static let report = MemberReport(
        setID: setID, incarnation: MemberFixture.incarnation(1), isVolatile: true, state: .primary, term: 4,
        config: version,
        progress: Progress(
            written: optime, applied: optime, durable: OpTime(3, 8), appliedAt: WallTime(milliseconds: 5)),
        commitPoint: OpTime(3, 7), primaryID: 1, syncSource: "m2:27017",
        electionTime: Timestamp(seconds: 3, increment: 1),
        isElectable: true, run: .max, number: 7)

    static let metadata = ReplicationMetadata(
        term: 4, commitPoint: OpTime(3, 7), applied: optime, config: version, primaryID: 1, syncSourceID: 2,
        isPrimary: true, rollbackID: 5)

    private static let ofReport: Set<String> = ["replicaSetId", "volatile", "syncingTo", "electionTime"]

    private static let control: [MessageSample] = [
        MessageSample(
            HeartbeatRequest(
                setName: "rs", from: "m1:27017", fromID: 1, to: "m0:27017", report: report, purpose: .rollCall),
            optional: ofReport.union(["to", "rollCall"])),
        MessageSample(
            HeartbeatRequest(setName: "rs", from: "m1:27017", fromID: nil, report: report, purpose: .quorumCheck),
            " of initiate", optional: ofReport.union(["checkEmpty"])),
        MessageSample(
            "HeartbeatResponse",
            HeartbeatResponse(
                setName: "rs", memberID: 2, report: report,
                config: MemberFixture.config(3) { $0.members[1].isNewlyAdded = true }),
            { $0.encode(to: $1) }, { try HeartbeatResponse(decoding: $0) }, optional: ofReport.union(["config"]),
            opaque: ["config"]),
        MessageSample(
            VoteRequest(
                setName: "rs", setID: setID, isDryRun: true, term: 4, candidateID: 2,
                incarnation: MemberFixture.incarnation(2), config: version, lastWritten: optime,
                reason: .primaryConnectionLost),
            optional: ["replicaSetId"], unread: ["replSetRequestVotes"]),
        MessageSample(
            "VoteResponse",
            VoteResponse(term: 4, isGranted: false, reason: "no", incarnation: MemberFixture.incarnation(2)),
            { $0.encode(to: $1) }, { try VoteResponse(decoding: $0) }),
        MessageSample(
            UpdatePosition(
                setName: "rs", term: 4,
                positions: (0..<3).map { id in
                    .init(
                        memberID: id, incarnation: MemberFixture.incarnation(id), config: version,
                        progress: Progress(all: optime))
                }),
            unread: ["replSetUpdatePosition"]),
        MessageSample(StepUpRequest(skipsDryRun: true), optional: ["skipDryRun"], unread: ["replSetStepUp"]),
        MessageSample(
            OplogNoteRequest(
                note: ["msg": "hello"], target: Timestamp(seconds: 4, increment: 2),
                clusterTime: Timestamp(seconds: 4, increment: 3)),
            optional: ["maxClusterTime", "$clusterTime"], unread: ["appendOplogNote", "writeConcern"],
            opaque: ["data"]),
        MessageSample(
            "Introduction",
            Introduction(setName: "rs", memberID: 2, incarnation: MemberFixture.incarnation(2)),
            { $0.encode(to: $1) },
            { view in
                guard let introduction = try Introduction.decode(view) else {
                    throw ServerError(.failedToParse, "no introduction")
                }
                return introduction
            }, unread: ["hello"]),
    ]

    private static let fetching: [MessageSample] = [
        MessageSample(
            FetchOplogRequest(.following(term: 4), after: optime, knownCommitPoint: OpTime(3, 7), awaitMillis: 500),
            " of a follower", optional: ["term"], unread: ["replSetFetchOplog"]),
        MessageSample(
            FetchOplogRequest(
                .initialSync(isInclusive: true), after: optime, knownCommitPoint: .null, awaitMillis: 1000),
            " of an initial sync", optional: ["initialSync"], unread: ["replSetFetchOplog"]),
        MessageSample(
            "FetchOplogReply", [UInt8]("a frame of entries".utf8),
            { frame, writer in
                frame.withUnsafeBytes { FetchOplogReply(.entries, frame: $0, metadata).encode(to: writer) }
            },
            { view in
                let reply = try FetchOplogReply(decoding: view)
                guard reply.answer == .entries, reply.metadata == metadata, let frame = reply.frame else {
                    throw ServerError(.failedToParse, "another message")
                }
                return [UInt8](frame)
            }),
        MessageSample(
            "FetchOplogReply without entries", FetchOplogReply(.diverged, metadata), { $0.encode(to: $1) },
            { try FetchOplogReply(decoding: $0) }),
        MessageSample(
            CommonPointRequest(optimes: [optime, OpTime(3, 7), OpTime(2, 6)]), unread: ["replSetFindCommonPoint"]),
        MessageSample(
            "CommonPointReply", CommonPointReply(first: OpTime(1, 1), common: optime), { $0.encode(to: $1) },
            { try CommonPointReply(decoding: $0) }, optional: ["first", "common"]),
    ]

    private static let cloning: [MessageSample] = [
        MessageSample(
            SourcePositionRequest(awaitedCommitPoint: optime), optional: ["awaitCommitted"],
            unread: ["replSetGetPosition"]),
        MessageSample(
            "SourcePositionReply",
            SourcePositionReply(incarnation: MemberFixture.incarnation(1), metadata: metadata), { $0.encode(to: $1) },
            { try SourcePositionReply(decoding: $0) }),
        MessageSample(ListCollectionsRequest(), unread: ["replSetListCollections"]),
        MessageSample(
            "ListCollectionsReply",
            ListCollectionsReply(collections: [
                CollectionDescription(
                    namespace: "shop.orders", uuid: uuid, documentCount: 5, byteCount: 500,
                    options: ["capped": true, "size": 4096], indexes: [["v": 2, "key": ["a": 1], "name": "a_1"]]),
                CollectionDescription(
                    namespace: "shop.items", uuid: uuid, documentCount: 0, byteCount: 0, options: [:], indexes: []),
            ]), { $0.encode(to: $1) }, { try ListCollectionsReply(decoding: $0) },
            opaque: ["collections.options", "collections.indexes"]),
        MessageSample(
            CloneDocumentsRequest.batch(of: uuid, after: 17), " of a batch", unread: ["replSetCloneDocuments"]),
        MessageSample(
            CloneDocumentsRequest.one(namespace: "shop.orders", id: .string("x")), " of one",
            unread: ["replSetCloneDocuments"], opaque: ["id"]),
        MessageSample(
            "CloneDocumentsReply", Documents(of: [["_id": 1], ["_id": 2, "a": "b"]], next: 19),
            { batch, writer in
                CloneDocumentsReply.encode(to: writer) { array in
                    for document in batch.documents { array.append(document) }
                    return batch.next
                }
            },
            { view in
                guard case .documents(let documents, let next) = try CloneDocumentsReply(decoding: view) else {
                    throw ServerError(.failedToParse, "gone")
                }
                return Documents(of: documents.compactMap { $0.value.asDocument?.document }, next: next)
            }, optional: ["next"], opaque: ["documents"]),
        MessageSample(
            "CloneDocumentsReply of a dropped collection", (), { CloneDocumentsReply.encodeGone(to: $1) },
            { view in
                guard case .gone = try CloneDocumentsReply(decoding: view) else {
                    throw ServerError(.failedToParse, "not gone")
                }
            }),
        MessageSample(CloneSessionsRequest(after: [1, 2, 3]), unread: ["replSetCloneSessions"]),
        MessageSample(
            "CloneSessionsReply", Documents(of: [["_id": 1], ["_id": 2]], next: 8),
            { batch, writer in
                CloneSessionsReply.encode(to: writer) { array in
                    for document in batch.documents {
                        document.withView { CloneSessionsReply.append(key: $0.bytes, record: $0, to: &array) }
                    }
                    return batch.next.map { [UInt8(clamping: $0)] }
                }
            },
            { view in
                let reply = try CloneSessionsReply(decoding: view)
                let rows = try reply.rows
                guard rows.allSatisfy({ $0.key.elementsEqual($0.record.bytes) }) else {
                    throw ServerError(.failedToParse, "another key")
                }
                return Documents(of: rows.map(\.record.document), next: reply.next?.first.map { Int64($0) })
            }, optional: ["next"], opaque: ["records.record"]),
    ]

    private struct Documents {
        let documents: [Document]
        let next: Int64?
        init(of documents: [Document], next: Int64?) {
            self.documents = documents
            self.next = next
        }
    }
}
