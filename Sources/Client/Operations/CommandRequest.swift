import BSON
import Core
import Wire

/// One command, before a server has been selected for it.
struct CommandRequest {
    var database: String
    /// The command's own fields, its name first.
    var command: Document
    /// A document sequence that goes beside the command.
    var sequence: (name: StaticString, documents: ArraySlice<Document>)?
    var access: ServerSelection.Operation
    /// Whether it may be sent a second time.
    var isRetryable = false
    var preference = ReadPreference.primary
    var readConcern: ReadConcern?
    var writeConcern: WriteConcern?
    /// A server that it must go to: where its cursor is.
    var pinned: Endpoint?
    var usesSession = true

    init(database: String, command: Document, access: ServerSelection.Operation) {
        self.database = database
        self.command = command
        self.access = access
    }

    var isAcknowledged: Bool { writeConcern?.isAcknowledged ?? true }
}

/// A command as one attempt sends it.
struct OutgoingCommand {
    let request: CommandRequest
    let lsid: Document?
    let transactionNumber: Int64?
    let clusterTime: Document?
    /// Reads wait until the member has this.
    let afterClusterTime: Timestamp?
    /// What `$readPreference` says; nil sends none.
    let preference: ReadPreference?

    /// Appends the message to `output`.
    func write(to output: ByteBuffer, requestID: Int32) {
        let start = output.count
        let flags = request.isAcknowledged ? 0 : MessageFlags.moreToCome
        let message = MessageWriter(message: output, requestID: requestID, responseTo: 0, flags: flags)
        let writer = message.document
        request.command.withView { for field in $0 { writer.append(field.key, field.value) } }
        writer.append("$db", string: request.database)
        if let lsid { writer.append("lsid", lsid) }
        if let transactionNumber { writer.append("txnNumber", int64: transactionNumber) }
        if let clusterTime { writer.append("$clusterTime", clusterTime) }
        if let preference { writer.append("$readPreference", preference.document) }
        if request.readConcern != nil || afterClusterTime != nil {
            writer.document("readConcern") {
                if let concern = request.readConcern { $0.append("level", string: concern.level.rawValue) }
                if let afterClusterTime { $0.append("afterClusterTime", timestamp: afterClusterTime) }
            }
        }
        if let concern = request.writeConcern { writer.document("writeConcern") { concern.encodeAsked(to: $0) } }
        message.finish()
        if let sequence = request.sequence {
            OutgoingCommand.append(sequence.name, sequence.documents, to: output)
            output.set(littleEndian: Int32(truncatingIfNeeded: output.count - start), at: start)
        }
    }

    /// A kind-1 section: its length, its name, and the documents as they are.
    private static func append(_ name: StaticString, _ documents: ArraySlice<Document>, to output: ByteBuffer) {
        output.append(byte: 1)
        let start = output.count
        output.append(littleEndian: Int32(0))
        output.append(UnsafeRawPointer(name.utf8Start), count: name.utf8CodeUnitCount)
        output.append(byte: 0)
        for document in documents { document.withView { output.append($0.bytes) } }
        output.set(littleEndian: Int32(truncatingIfNeeded: output.count - start), at: start)
    }
}

extension ReadPreference {
    /// As commands carry it.
    var document: Document {
        Document { writer in
            writer.append("mode", string: mode.rawValue)
            if !tagSets.isEmpty {
                writer.array("tags") { array in
                    for tags in tagSets {
                        array.document { set in
                            for (key, value) in tags.sorted(by: { $0.key < $1.key }) { set.append(key, .string(value)) }
                        }
                    }
                }
            }
            if let maxStalenessSeconds { writer.append("maxStalenessSeconds", int64: Int64(maxStalenessSeconds)) }
        }
    }
}
