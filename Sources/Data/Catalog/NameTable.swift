import BSON
import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// Finds a collection by the raw bytes of its database and collection name, as they stand in a command: no string is
/// made.
///
/// Open addressing, at most half full. Only looked up and rebuilt; its order reaches nothing.
struct NameTable {
    private struct Slot {
        var hash: UInt64
        var collection: Collection?
    }
    private var slots = [Slot](repeating: Slot(hash: 0, collection: nil), count: 16)
    private var used = 0

    @inline(__always)
    private static func hash(_ database: UnsafeRawBufferPointer, _ collection: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in database { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        hash = (hash ^ UInt64(UInt8(ascii: "."))) &* 0x0000_0100_0000_01b3
        for byte in collection { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return hash ^ hash >> 29
    }

    func find(database: UnsafeRawBufferPointer, collection: UnsafeRawBufferPointer) -> Collection? {
        let hash = NameTable.hash(database, collection)
        var index = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while let found = slots[index].collection {
            if slots[index].hash == hash, found.isNamed(database: database, collection: collection) { return found }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    mutating func insert(_ collection: Collection) {
        used += 1
        if used * 2 > slots.count {
            let old = slots
            slots = [Slot](repeating: Slot(hash: 0, collection: nil), count: old.count * 2)
            for slot in old where slot.collection != nil { place(slot) }
        }
        place(Slot(hash: NameTable.hash(of: collection), collection: collection))
    }

    private static func hash(of collection: Collection) -> UInt64 {
        hash(collection.databaseBytes, collection.collectionBytes)
    }

    private mutating func place(_ slot: Slot) {
        var index = Int(truncatingIfNeeded: slot.hash) & (slots.count - 1)
        while slots[index].collection != nil { index = (index + 1) & (slots.count - 1) }
        slots[index] = slot
    }
}
