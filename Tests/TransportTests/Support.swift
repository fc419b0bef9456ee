import BSON
import Conformance
import Core
import Foundation
import LiveRuntime
import LoopbackTransport
import SocketTransport
import Testing

/// Carries values that live on one loop through a test that only passes them back to it.
typealias OnLoop = Confined

func message(_ length: Int, filledWith byte: UInt8 = 7) -> [UInt8] {
    var bytes = [UInt8](repeating: byte, count: length)
    withUnsafeBytes(of: Int32(length).littleEndian) { for index in 0..<4 { bytes[index] = $0[index] } }
    return bytes
}

/// A directory that goes with its owner.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "/quorate-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Keeps log lines for a test to look at.
final class MemoryLog: LogSink, @unchecked Sendable {
    private let lock = NSLock()
    private var kept: [String] = []
    var minimumLevel: LogLevel { .debug }
    func write(_ level: LogLevel, _ component: StaticString, _ message: String) {
        lock.withLock { kept.append(message) }
    }
    var lines: [String] { lock.withLock { kept } }
}

/// A socket bound to a port of 127.0.0.1, listening or not, on which nothing is ever accepted.
final class RawSocket {
    private var descriptors: [Int32] = []
    let port: Int

    /// - Parameter backlog: nil does not listen, so that connections are refused.
    init(backlog: Int32?) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(status)
        port = Int(UInt16(bigEndian: address.sin_port))
        descriptors = [descriptor]
        if let backlog {
            try #require(listen(descriptor, backlog) == 0)
            // Fills the queue: the system drops the requests of everybody after that.
            for _ in 0..<4 { connectToSelf() }
        }
    }

    /// A plain client socket connected to `port`.
    static func client(port: Int) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(Self.connect(descriptor, port) == 0)
        return descriptor
    }

    private func connectToSelf() {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        _ = Self.connect(descriptor, port)
        descriptors.append(descriptor)
    }

    private static func connect(_ descriptor: Int32, _ port: Int) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// Says no more, and makes the system reset the connection when `descriptor` closes, as for a process that is
    /// killed with unread input.
    static func reset(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        Foundation.close(descriptor)
    }

    deinit { for descriptor in descriptors { Foundation.close(descriptor) } }
}
