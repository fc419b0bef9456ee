import BSON
import Core

/// Checks of how connections open, fail and close.
extension TransportConformance {
    static func closesGracefully(_ stage: TransportStage) async throws {
        let serverLog = TransportEventLog(stage)
        let endpoint = try await stage.listen(.record, serverLog)
        let log = TransportEventLog(stage)
        let (connection, delegate) = stage.connect(to: endpoint, log)
        try await log.wait(for: "the opening") { $0.contains(.opened) }
        // More than a system keeps for a connection, so that some of it is still here when the close begins.
        let sent = (0..<8).map { testMessage(500_000, seed: $0) }
        for message in sent { connection.output.append(message) }
        connection.flush()
        delegate.isInsideClose = true
        connection.close(graceful: true)
        connection.close(graceful: true)
        delegate.isInsideClose = false
        try require(!delegate.wasReportedInsideClose, "the close was reported inside close")
        let received = try await serverLog.waitForMessages(sent.count)
        try require(received == sent, "what was flushed before a graceful close arrived changed")
        try await requireOneClose(stage, log, .local, "the side that closed")
        try await requireOneClose(stage, serverLog, .remote, "the other side")
    }

    static func reportsRemoteClose(_ stage: TransportStage) async throws {
        let serverLog = TransportEventLog(stage)
        let endpoint = try await stage.listen(.closeAfterOne, serverLog)
        let log = TransportEventLog(stage)
        let connection = stage.connect(to: endpoint, log).connection
        let message = testMessage(300, seed: 1)
        connection.output.append(message)
        connection.flush()
        let received = try await log.waitForMessages(1)
        try require(received == [message], "the reply before a graceful close arrived changed")
        try await requireOneClose(stage, log, .remote, "the client")
        try await requireOneClose(stage, serverLog, .local, "the server")
        connection.output.append(message)
        connection.flush()
        connection.close(graceful: false)
        try await requireOneClose(stage, log, .remote, "the client, closed again,")
    }

    static func closesBeforeOpen(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.record, TransportEventLog(stage))
        for target in [endpoint, stage.subject.nobody] {
            let log = TransportEventLog(stage)
            let (connection, delegate) = stage.connect(to: target, log)
            delegate.isInsideClose = true
            connection.close(graceful: false)
            delegate.isInsideClose = false
            try require(!delegate.wasReportedInsideClose, "the close was reported inside close")
            try await requireOneClose(
                stage, log, target == endpoint ? .local : nil, "a connection closed before it opened")
            try require(!log.events.contains(.opened), "a connection opened after it was closed")
        }
    }

    static func reportsUnreachable(_ stage: TransportStage) async throws {
        let log = TransportEventLog(stage)
        _ = stage.connect(to: stage.subject.nobody, log)
        try require(log.events.isEmpty, "the delegate was called inside connect")
        let reason = try await log.waitForClose()
        guard case .unreachable = reason else {
            throw TransportConformanceFailure("connecting to nobody closed with \(reason), not .unreachable")
        }
        try await requireOneClose(stage, log, reason, "the client")
        try require(!log.events.contains(.opened), "a connection to nobody opened")
    }

    static func timesOut(_ stage: TransportStage) async throws {
        guard let silent = stage.subject.silent else { return }
        let log = TransportEventLog(stage)
        _ = stage.connect(to: silent, log, timeout: .milliseconds(50))
        try await requireOneClose(stage, log, .timedOut, "a connection that nobody answers")
    }

    static func refuses(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.refuse, TransportEventLog(stage))
        let log = TransportEventLog(stage)
        _ = stage.connect(to: endpoint, log)
        try await requireOneClose(stage, log, .remote, "a refused connection")
    }

    static func closesListener(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.echo, TransportEventLog(stage))
        let log = TransportEventLog(stage)
        let connection = stage.connect(to: endpoint, log).connection
        try await log.wait(for: "the opening") { $0.contains(.opened) }
        connection.output.append(testMessage(20, seed: 1))
        connection.flush()
        _ = try await log.waitForMessages(1)
        await stage.closeListeners()
        let late = TransportEventLog(stage)
        _ = stage.connect(to: endpoint, late)
        guard case .unreachable = try await late.waitForClose() else {
            throw TransportConformanceFailure("a closed listener did not refuse with .unreachable")
        }
        connection.output.append(testMessage(20, seed: 2))
        connection.flush()
        _ = try await log.waitForMessages(2)
        let again = try await stage.listen(.echo, TransportEventLog(stage), on: endpoint)
        try require(again == endpoint, "the endpoint of a closed listener was not free again")
    }

    static func reportsAddressInUse(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.echo, TransportEventLog(stage))
        do {
            _ = try await stage.listen(.echo, TransportEventLog(stage), on: endpoint)
        } catch TransportError.addressInUse(let used) {
            try require(used == endpoint, "the error names \(used), not \(endpoint)")
            return
        }
        throw TransportConformanceFailure("two listeners share an endpoint")
    }

    static func closesMalformed(_ stage: TransportStage) async throws {
        for length in [0, 15, -1, Int32.min, Int32(Limits.messageBytesMax) + 1, .max] {
            let serverLog = TransportEventLog(stage)
            let endpoint = try await stage.listen(.record, serverLog)
            let log = TransportEventLog(stage)
            let connection = stage.connect(to: endpoint, log).connection
            let good = testMessage(40, seed: 1)
            connection.output.append(good)
            connection.output.append(littleEndian: length)
            connection.output.append([UInt8](repeating: 7, count: 100))
            connection.flush()
            guard case .malformed = try await serverLog.waitForClose() else {
                throw TransportConformanceFailure("a length of \(length) closed with \(serverLog.closes)")
            }
            try require(serverLog.messages == [good], "the message before a bad length did not arrive")
            _ = try await log.waitForClose()
        }
    }

    static func closesTooSlow(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.notReading, TransportEventLog(stage))
        let log = TransportEventLog(stage)
        let (connection, delegate) = stage.connect(to: endpoint, log)
        try await log.wait(for: "the opening") { $0.contains(.opened) }
        let message = testMessage(100_000, seed: 1)
        // What the systems of both sides keep comes on top of the bound.
        let enough = stage.subject.connectionOutputBytesMax + 64 * 1024 * 1024
        delegate.isInsideClose = true
        var sent = 0
        while sent < enough, connection.pendingOutputBytes <= stage.subject.connectionOutputBytesMax {
            connection.output.append(message)
            connection.flush()
            sent += message.count
        }
        delegate.isInsideClose = false
        try require(!delegate.wasReportedInsideClose, "the close was reported inside flush")
        try await requireOneClose(stage, log, .tooSlow, "the side that sent")
        try require(sent > stage.subject.connectionOutputBytesMax, "the connection closed below the bound")
    }

    /// Waits for the close, then makes sure that it was the only one and the last event.
    private static func requireOneClose(
        _ stage: TransportStage, _ log: TransportEventLog, _ reason: CloseReason?, _ side: String
    ) async throws {
        let first = try await log.waitForClose()
        if let reason { try require(first == reason, "\(side) closed with \(first), not \(reason)") }
        try await stage.settle()
        try require(log.closes.count == 1, "\(side) reported its close \(log.closes.count) times")
        try require(log.events.last == .closed(first), "\(side) reported more after its close")
    }
}
