import BSON
import Core

/// Checks of what arrives.
extension TransportConformance {
    static func echoesAllSizes(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.echo, TransportEventLog(stage))
        let log = TransportEventLog(stage)
        let connection = stage.connect(to: endpoint, log).connection
        let sizes = [16, 17, 100, 4095, 4096, 65_535, 65_536, 65_537, 1_000_000, 1 << 20, 5_000_000, 16]
        var sent: [[UInt8]] = []
        for (index, size) in sizes.enumerated() {
            let message = testMessage(size, seed: UInt64(index))
            sent.append(message)
            connection.output.append(message)
            connection.flush()
            let received = try await log.waitForMessages(sent.count)
            try require(received == sent, "a message of \(size) bytes came back changed")
        }
        try require(log.events.first == .opened, "the first event was not the opening")
        try require(connection.pendingOutputBytes == 0, "bytes are pending after the peer took everything")
    }

    static func keepsOrder(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.echo, TransportEventLog(stage))
        let log = TransportEventLog(stage)
        let connection = stage.connect(to: endpoint, log).connection
        var sent: [[UInt8]] = []
        for index in 0..<3000 {
            let size = index % 97 == 0 ? 70_000 : 16 + (index * 7919) % 600
            sent.append(testMessage(size, seed: UInt64(index)))
        }
        var next = 0
        while next < sent.count {
            // Runs of different lengths, so that messages end anywhere in what the other side reads.
            for message in sent[next..<min(next + 1 + next % 23, sent.count)] {
                connection.output.append(message)
                next += 1
            }
            connection.flush()
        }
        let received = try await log.waitForMessages(sent.count)
        try require(received == sent, "messages came back changed or out of order")
    }

    static func deliversBatches(_ stage: TransportStage) async throws {
        let serverLog = TransportEventLog(stage)
        let endpoint = try await stage.listen(.echo, serverLog)
        let log = TransportEventLog(stage)
        let connection = stage.connect(to: endpoint, log).connection
        let count = 200
        for index in 0..<count { connection.output.append(testMessage(100, seed: UInt64(index))) }
        connection.flush()
        _ = try await log.waitForMessages(count)
        try require(
            serverLog.batches <= count / 10, "\(count) messages of one flush took \(serverLog.batches) calls to arrive")
        try require(log.batches <= count / 10, "\(count) replies to one batch took \(log.batches) calls to arrive")
    }

    static func keepsEarlyMessages(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.echo, TransportEventLog(stage))
        let log = TransportEventLog(stage)
        let connection = stage.connect(to: endpoint, log).connection
        let sent = (0..<3).map { testMessage(50_000, seed: $0) }
        for message in sent {
            connection.output.append(message)
            connection.flush()
        }
        try require(log.events.isEmpty, "the delegate was called inside connect or flush")
        try require(connection.pendingOutputBytes == 150_000, "what waits for the opening is not counted as pending")
        let received = try await log.waitForMessages(3)
        try require(received == sent, "messages flushed before the opening came back changed")
        try require(log.events.first == .opened, "messages came before the opening was reported")
    }

    static func holdsMessagesWhileNotReading(_ stage: TransportStage) async throws {
        let serverLog = TransportEventLog(stage)
        let endpoint = try await stage.listen(.notReading, serverLog)
        let connection = stage.connect(to: endpoint, TransportEventLog(stage)).connection
        let sent = (0..<20).map { testMessage(1000, seed: $0) }
        for message in sent {
            connection.output.append(message)
            connection.flush()
        }
        try await serverLog.wait(for: "the connection") { $0.contains(.accepted) }
        try await stage.settle()
        try require(serverLog.messages.isEmpty, "messages arrived while the node did not read")
        await stage.resumeReading()
        let received = try await serverLog.waitForMessages(sent.count)
        try require(received == sent, "messages that waited arrived changed")
    }

    static func numbersConnections(_ stage: TransportStage) async throws {
        let endpoint = try await stage.listen(.echo, TransportEventLog(stage))
        try require(endpoint.host.hasPrefix("/") || endpoint.port != 0, "a listener reports port 0")
        var ids: Set<UInt64> = []
        for _ in 0..<5 {
            let log = TransportEventLog(stage)
            let connection = stage.connect(to: endpoint, log).connection
            try await log.wait(for: "the opening") { $0.contains(.opened) }
            ids.insert(connection.id)
            try require(!connection.peerDescription.isEmpty, "a connection does not say who its peer is")
        }
        try require(ids.count == 5 && !ids.contains(0), "connections share a number, or have number 0")
    }
}
