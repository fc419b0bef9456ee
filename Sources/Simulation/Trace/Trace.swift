public import Core

/// One line of a run's trace.
public struct TraceEvent: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        case job, body, timer, spawn, message, open, close, accept, fault, offload
    }

    public let time: Instant
    /// Index of the node's runtime in the world, in the order of creation; -1 for the world itself.
    public let node: Int32
    public let kind: Kind
    /// A hash of what the event carries: a message's bytes, a task's name.
    public let payload: UInt64
}

/// The running hash of all that happens in a world: two runs of a seed agree in it or are not the same run.
///
/// Recording is optional and bounded to a window of events; every 4096th hash is always kept, so that the window in
/// which two runs part is found without recording either.
public struct Trace: Sendable {
    /// How many events lie between two kept hashes.
    public static let checkpointInterval: UInt64 = 4096

    public private(set) var hash: UInt64 = 0x243F_6A88_85A3_08D3
    /// Events so far.
    public private(set) var count: UInt64 = 0
    /// The hash after each `checkpointInterval` events.
    public private(set) var checkpoints: [UInt64] = []
    /// The events whose index is in `recordedWindow`.
    public private(set) var recorded: [TraceEvent] = []
    public let recordedWindow: Range<UInt64>

    public init(recording window: Range<UInt64> = 0..<0) { recordedWindow = window }

    @inline(__always) mutating func add(time: Int64, node: Int32, kind: TraceEvent.Kind, payload: UInt64) {
        let header = UInt64(bitPattern: time) ^ UInt64(UInt32(bitPattern: node)) << 40 ^ UInt64(kind.rawValue) << 56
        hash = Trace.mixed(Trace.mixed(hash, header), payload)
        if recordedWindow.contains(count) {
            recorded.append(
                TraceEvent(time: Instant(nanoseconds: time), node: node, kind: kind, payload: payload))
        }
        count &+= 1
        if count % Trace.checkpointInterval == 0 { checkpoints.append(hash) }
    }

    @inline(__always) static func mixed(_ hash: UInt64, _ value: UInt64) -> UInt64 {
        let product = (hash ^ value &* 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }

    /// A hash of bytes, the same in every process.
    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(bytes.count) &* 0x9E37_79B9_7F4A_7C15
        var offset = 0
        while offset + 8 <= bytes.count {
            hash = mixed(hash, UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            offset += 8
        }
        var rest: UInt64 = 0
        while offset < bytes.count {
            rest = rest << 8 | UInt64(bytes[offset])
            offset += 1
        }
        return mixed(hash, rest)
    }

    /// A hash of a text that lives as long as the process.
    static func hash(_ text: StaticString) -> UInt64 {
        hash(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
