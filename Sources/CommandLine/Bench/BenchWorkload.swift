internal import BSON
internal import Core
internal import Wire

/// What the connections of a benchmark ask for.
enum BenchWorkload: String, Sendable, CaseIterable {
    case insert
    case read
    case update
    case mixA = "mix-a"
    case mixB = "mix-b"

    /// Of a hundred operations, how many read.
    var readPercent: UInt64 {
        switch self {
        case .insert, .update: 0
        case .read: 100
        case .mixA: 50
        case .mixB: 95
        }
    }
}

/// How a benchmark was asked for.
struct BenchSettings: Sendable {
    static let database = "quorate_bench"
    static let collection = "documents"

    var workload = BenchWorkload.insert
    var connections = 32
    var duration: Duration = .seconds(10)
    var warmup: Duration = .seconds(1)
    var keys = 10_000
    var documentBytes = 200
    /// A number of members, or a name such as `majority`.
    var writeConcern = "majority"
    var readPreference = ReadPreference.Mode.primary

    var writeConcernDocument: Document {
        ["w": Int32(writeConcern).map { .int32($0) } ?? .string(writeConcern), "wtimeout": 10_000]
    }

    /// A document of `documentBytes`, as near as its fields allow.
    func document(id: Int64) -> Document {
        let bare: Document = ["_id": .int64(id), "n": 0, "pad": ""]
        let padding = max(0, documentBytes - bare.byteCount)
        return ["_id": .int64(id), "n": 0, "pad": .string(String(repeating: "x", count: padding))]
    }
}

/// One request, made once; each use of it copies the bytes and writes two numbers: its own and the document's.
struct BenchRequest {
    private static let marker: Int64 = 0x6B65_7920_676F_6573
    private let bytes: [UInt8]
    private let keyOffset: Int

    /// - Parameter command: makes the command for a document with that `_id`.
    init(_ command: (Int64) -> Document) {
        let buffer = ByteBuffer(capacity: 1024)
        let message = MessageWriter(message: buffer, requestID: 0, responseTo: 0)
        command(Self.marker).withView { for field in $0 { message.document.append(field.key, field.value) } }
        message.document.append("$db", string: BenchSettings.database)
        message.finish()
        let made = buffer.toArray()
        let pattern = withUnsafeBytes(of: Self.marker.littleEndian) { [UInt8]($0) }
        keyOffset = made.indices.first { made[$0...].starts(with: pattern) } ?? 0
        bytes = made
    }

    @inline(__always)
    func append(to output: ByteBuffer, requestID: Int32, key: Int64) {
        let start = output.count
        bytes.withUnsafeBytes { output.append($0) }
        output.set(littleEndian: requestID, at: start + 4)
        output.set(littleEndian: key, at: start + keyOffset)
    }
}

/// The requests of one run.
struct BenchRequests {
    let insert: BenchRequest
    let read: BenchRequest
    let update: BenchRequest

    init(_ settings: BenchSettings) {
        let collection = Value.string(BenchSettings.collection)
        let concern = Value.document(settings.writeConcernDocument)
        insert = BenchRequest { key in
            ["insert": collection, "documents": [.document(settings.document(id: key))], "writeConcern": concern]
        }
        read = BenchRequest { key in
            var find: Document = ["find": collection, "filter": ["_id": .int64(key)], "limit": 1, "singleBatch": true]
            if settings.readPreference != .primary {
                find.append("$readPreference", ["mode": .string(settings.readPreference.rawValue)])
            }
            return find
        }
        update = BenchRequest { key in
            [
                "update": collection, "updates": [["q": ["_id": .int64(key)], "u": ["$inc": ["n": 1]]]],
                "writeConcern": concern,
            ]
        }
    }
}
