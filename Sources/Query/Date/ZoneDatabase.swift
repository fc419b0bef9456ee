import Core
import Synchronization

/// The time zones of the system, by name. Read once each and kept: they are the same for the life of a process,
/// whatever its nodes do.
enum ZoneDatabase {
    private static let zones = Mutex<[String: ZoneRules]>([:])

    /// The rules of a zone; nil when there is none of that name.
    static func zone(_ name: String) -> ZoneRules? {
        guard isName(name) else { return nil }
        return zones.withLock { zones in
            if let zone = zones[name] { return zone }
            guard let zone = TimeZoneFiles.read(name).flatMap({ ZoneRules($0) }) else { return nil }
            // A system with more names than these gets the others read again.
            if zones.count < Limits.timeZonesMax { zones[name] = zone }
            return zone
        }
    }

    /// Whether a text may be the name of a zone: parts of letters, digits and `_+-` that begin with a letter, the first
    /// of them with a capital. So it leads to no other place than the database, and not to its files in lower case,
    /// which hold other things (`right` counts leap seconds).
    static func isName(_ name: String) -> Bool {
        guard name.utf8.count <= Limits.timeZoneNameBytesMax, let first = name.utf8.first,
            (65...90).contains(first)
        else { return false }
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return parts.allSatisfy { part in
            guard let first = part.first, isLetter(first) else { return false }
            return part.allSatisfy { isLetter($0) || (48...57).contains($0) || "_+-".utf8.contains($0) }
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (65...90).contains(byte & 0xDF) }
}
