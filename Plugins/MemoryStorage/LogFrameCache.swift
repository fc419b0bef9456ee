import Core

/// Frames that were read from files, the ones used last: as many as `Limits.oplogCacheBytes` hold. What was asked for
/// stays longer, until whoever asked has come back for it: a step begins again after each frame that it missed, and
/// needs all of them at once.
struct LogFrameCache {
    struct Key: Hashable {
        let segment: UInt64
        let offset: Int
    }

    private struct Entry {
        let block: LogBlock
        var used: UInt64
        let awaitedUntil: Instant
    }

    private var entries: [Key: Entry] = [:]
    /// In the order of use, from `head` on; one that was used again since stands further behind, too.
    private var order: [(key: Key, used: UInt64)] = []
    private var head = 0
    private var uses: UInt64 = 0
    private(set) var byteCount = 0

    func contains(_ key: Key) -> Bool { entries[key] != nil }

    mutating func find(_ key: Key) -> LogBlock? {
        guard let index = entries.index(forKey: key) else { return nil }
        uses += 1
        entries.values[index].used = uses
        return entries.values[index].block
    }

    mutating func insert(_ blocks: [(key: Key, block: LogBlock)], now: Instant) {
        for (key, block) in blocks {
            remove(key)
            uses += 1
            entries[key] = Entry(block: block, used: uses, awaitedUntil: now + Limits.oplogCacheAwaited)
            order.append((key, uses))
            byteCount += block.frame.count
        }
        evict(now)
    }

    private mutating func remove(_ key: Key) {
        if let entry = entries.removeValue(forKey: key) { byteCount -= entry.block.frame.count }
    }

    private mutating func evict(_ now: Instant) {
        var left = order.count - head
        while byteCount > Limits.oplogCacheBytes, left > 0 {
            left -= 1
            let (key, used) = order[head]
            head += 1
            guard let entry = entries[key] else { continue }
            if entry.used != used {
                // One that was put in again has a place of its own.
                order.append((key, entry.used))
            } else if entry.awaitedUntil > now, byteCount <= Limits.oplogCacheBytesMost {
                order.append((key, used))
            } else {
                remove(key)
            }
        }
        if head >= 1024, head * 2 >= order.count {
            order.removeFirst(head)
            head = 0
        }
    }

    mutating func removeAll(of segment: UInt64) {
        for key in entries.keys where key.segment == segment { remove(key) }
    }
}
