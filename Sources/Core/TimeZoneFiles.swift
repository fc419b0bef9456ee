internal import CHooks
import Synchronization

/// Where the time zones of a process come from: the files of a zone, by its name.
///
/// Nodes touch no files. This is the one thing that they read of the machine: it is constant for the life of a process,
/// and only the runtime that a node lives in opens it, by `useSystem()` or `install(_:)`. Without that no zone has a
/// file.
public enum TimeZoneFiles {
    private static let reader = Mutex<(@Sendable (String) -> [UInt8]?)?>(nil)

    /// Says how the file of a zone is read: its bytes, or nil when there is none. The first that is said stays.
    public static func install(_ read: @escaping @Sendable (_ name: String) -> [UInt8]?) {
        reader.withLock { if $0 == nil { $0 = read } }
    }

    /// Reads the system's database: below `TZDIR`, or else `/usr/share/zoneinfo`.
    public static func useSystem() {
        install { name in
            let bytes = [UInt8](unsafeUninitializedCapacity: Limits.timeZoneFileBytesMax) { buffer, count in
                count = max(0, Int(chooks_read_time_zone(name, buffer.baseAddress, Int64(buffer.count))))
            }
            return bytes.isEmpty ? nil : bytes
        }
    }

    /// The bytes of a zone's file. The caller has seen that `name` is the name of a zone and no other path.
    public static func read(_ name: String) -> [UInt8]? { reader.withLock { $0 }?(name) }
}
