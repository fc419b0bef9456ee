package import BSON
package import Core

extension ServerDescription {
    /// What a reply to `hello` says.
    init(hello reply: Document, address: Endpoint, now: Instant) {
        self.init(address: address)
        lastUpdate = now
        reply.withView { take($0) }
    }

    private mutating func take(_ hello: DocumentView) {
        guard hello["ok"]?.isTruthy == true else {
            error = hello["errmsg"]?.asString ?? "hello failed"
            return
        }
        type = ServerDescription.serverType(hello)
        minWireVersion = hello["minWireVersion"]?.asInteger.map { Int(clamping: $0) } ?? 0
        maxWireVersion = hello["maxWireVersion"]?.asInteger.map { Int(clamping: $0) } ?? 0
        setName = hello["setName"]?.asString
        setVersion = hello["setVersion"]?.asInteger
        electionID = hello["electionId"]?.asObjectID
        me = ServerDescription.endpoint(hello["me"])
        primary = ServerDescription.endpoint(hello["primary"])
        for list in [hello["hosts"], hello["passives"], hello["arbiters"]] {
            guard let array = list?.asArray else { continue }
            for element in array {
                guard members.count < Limits.membersMax * 2 else { break }
                if let member = ServerDescription.endpoint(element.value) { members.append(member) }
            }
        }
        if let fields = hello["tags"]?.asDocument {
            for field in fields { if let value = field.value.asString { tags[field.key.string] = value } }
        }
        if let lastWrite = hello["lastWrite"]?.asDocument, let date = lastWrite["lastWriteDate"]?.asDateTime {
            lastWriteDate = WallTime(milliseconds: date)
        }
        topologyVersion = TopologyVersion(hello["topologyVersion"])
        // Bounded, so that nothing computed from it overflows.
        logicalSessionTimeoutMinutes = hello["logicalSessionTimeoutMinutes"]?.asInteger.map {
            Int(min(max($0, 1), 1_000_000))
        }
        if let size = hello["maxWriteBatchSize"]?.asInteger, size > 0 { maxWriteBatchSize = Int(clamping: size) }
        if let size = hello["maxMessageSizeBytes"]?.asInteger, size > 1024 {
            maxMessageBytes = min(Int(clamping: size), Limits.messageBytesMax)
        }
    }

    private static func serverType(_ hello: DocumentView) -> ServerType {
        func isTrue(_ name: StaticString) -> Bool { hello[name]?.isTruthy == true }
        if isTrue("isreplicaset") { return .ghost }
        if hello["setName"]?.asString != nil {
            if isTrue("isWritablePrimary") || isTrue("ismaster") { return .primary }
            if isTrue("hidden") { return .other }
            if isTrue("secondary") { return .secondary }
            return isTrue("arbiterOnly") ? .arbiter : .other
        }
        return hello["msg"]?.asString == "isdbgrid" ? .mongos : .standalone
    }

    /// Host names compare without case; the specification asks for lower case.
    private static func endpoint(_ value: ValueView?) -> Endpoint? {
        value?.asString.flatMap { Endpoint($0.lowercased()) }
    }
}

extension TopologyVersion {
    /// Reads `{processId, counter}`.
    package init?(_ value: ValueView?) {
        guard let fields = value?.asDocument, let process = fields["processId"]?.asObjectID,
            let counter = fields["counter"]?.asInteger
        else { return nil }
        self.init(processID: process, counter: counter)
    }

    var document: Document {
        Document { writer in
            writer.append("processId", objectID: processID)
            writer.append("counter", int64: counter)
        }
    }
}
