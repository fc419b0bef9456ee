public import Core

/// A disk in memory that does what disks may do: what was not synced is lost at a power cut, in whole or in sectors,
/// and so are names; calls fail, room ends, bits turn. It outlives the runs of the nodes that use it.
///
/// Everything happens on the simulator's thread.
public final class SimulatedDisk: Disk, @unchecked Sendable {
    /// What a power cut keeps or loses as one.
    static let sectorBytes = 512

    private var generator: SeededGenerator
    /// Names as processes see them, and as they are after a power cut.
    private var names: [String: SimulatedFile] = [:]
    private var durableNames: [String: SimulatedFile] = [:]
    private var directories: Set<String> = []
    /// Changes of names that no directory sync has covered, oldest first.
    private var nameLog: [(directory: String, name: String, file: SimulatedFile?)] = []
    private var locks: [String: String] = [:]
    /// Calls that wrote or synced something, or changed a name.
    public private(set) var calls = 0
    /// The number of the call that fails, and how; `nil` kind: the power is cut in the middle of it.
    public var failure: (call: Int, kind: DiskError.Kind?)?
    /// The power is cut: nothing works until `restart`.
    public private(set) var isOff = false
    /// Bytes that all files together may have; nil for as many as one likes.
    public var capacity: Int?
    /// Called when the power is cut.
    var onPowerCut: (() -> Void)?
    /// How many calls have failed, of others than a full disk.
    public private(set) var failures = 0

    public init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    // MARK: What happens to it

    /// Cuts the power, and switches it on again: what was not synced is there in parts.
    public func restart() {
        isOff = false
        failure = nil
        locks = [:]
        // A file system keeps the order of names.
        for change in nameLog.prefix(Int(generator.next(below: UInt64(nameLog.count + 1)))) {
            durableNames[change.name] = change.file
        }
        nameLog = []
        names = durableNames
        for name in names.keys.sorted() { names[name]?.losePower(&generator) }
    }

    /// A process ends: what it wrote is there, but its locks are not.
    public func endProcess() { locks = [:] }

    /// Turns one bit of a file.
    public func flipBit(of path: String, at bit: Int) { names[path]?.flip(bit) }

    /// The paths of all files.
    public var paths: [String] { names.keys.sorted() }
    /// How long a file is; nil when there is none.
    public func byteCount(of path: String) -> Int? { names[path]?.contents.count }

    /// Bytes of all files together.
    var usedBytes: Int { names.values.reduce(0) { $0 + $1.contents.count } }

    /// Counts a call, and lets it fail when it is its turn.
    fileprivate func call(_ operation: String, _ path: String) throws(DiskError) {
        if isOff { throw DiskError(.other, operation, path, "the power is off") }
        calls += 1
        guard let failure, failure.call == calls else { return }
        failures += 1
        guard let kind = failure.kind else {
            isOff = true
            onPowerCut?()
            throw DiskError(.other, operation, path, "the power is cut")
        }
        throw DiskError(kind, operation, path, "an error of the simulated disk")
    }

    fileprivate func takeRoom(_ more: Int, _ path: String) throws(DiskError) {
        guard let capacity, more > 0 else { return }
        if usedBytes + more > capacity {
            throw DiskError(.full, "writing to", path, "no space left on the simulated disk")
        }
    }

    // MARK: Disk

    public func makeDirectory(_ path: String) throws(DiskError) {
        var made = path
        while !made.isEmpty, directories.insert(made).inserted { made = Self.directory(of: made) }
    }

    public func list(_ path: String) throws(DiskError) -> [String]? {
        if isOff { throw DiskError(.other, "listing", path, "the power is off") }
        guard directories.contains(path) else { return nil }
        let prefix = path + "/"
        let below = names.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        let inner = directories.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        return Set((below + inner).map { String($0.prefix { $0 != "/" }) }).sorted()
    }

    private func setName(_ path: String, _ file: SimulatedFile?) {
        names[path] = file
        nameLog.append((Self.directory(of: path), path, file))
    }

    private static func directory(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }

    public func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        if isOff { throw DiskError(.other, "opening", path, "the power is off") }
        if let file = names[path] { return OpenSimulatedFile(self, file, path) }
        guard create else { throw DiskError(.notFound, "opening", path, "no such file") }
        guard directories.contains(Self.directory(of: path)) else {
            throw DiskError(.notFound, "opening", path, "no such directory")
        }
        try call("creating", path)
        let file = SimulatedFile()
        setName(path, file)
        return OpenSimulatedFile(self, file, path)
    }

    public func rename(_ path: String, to other: String) throws(DiskError) {
        try call("renaming to \(other)", path)
        guard let file = names[path] else { throw DiskError(.notFound, "renaming", path, "no such file") }
        setName(path, nil)
        setName(other, file)
    }

    public func remove(_ path: String) throws(DiskError) {
        guard names[path] != nil else { return }
        try call("removing", path)
        setName(path, nil)
    }

    public func syncDirectory(_ path: String) throws(DiskError) {
        try call("syncing the directory", path)
        for change in nameLog where change.directory == path { durableNames[change.name] = change.file }
        nameLog.removeAll { $0.directory == path }
    }

    public func lock(_ path: String, note: String) throws(DiskError) -> any DiskLock {
        if let holder = locks[path] { throw DiskError(.locked, "locking", path, "held by \(holder)") }
        locks[path] = note
        return SimulatedLock(self, path)
    }

    fileprivate func unlock(_ path: String) { locks[path] = nil }
}

/// What a file holds, as processes see it and as a power cut would leave it.
private final class SimulatedFile {
    private(set) var contents: [UInt8] = []
    private var durable: [UInt8] = []
    private var dirtySectors: Set<Int> = []

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        if contents.count < offset + bytes.count {
            contents += [UInt8](repeating: 0, count: offset + bytes.count - contents.count)
        }
        contents.withUnsafeMutableBytes {
            UnsafeMutableRawBufferPointer(rebasing: $0[offset..<(offset + bytes.count)]).copyMemory(from: bytes)
        }
        markDirty(offset, bytes.count)
    }

    private func markDirty(_ offset: Int, _ count: Int) {
        guard count > 0 else { return }
        dirtySectors.formUnion(offset / SimulatedDisk.sectorBytes...(offset + count - 1) / SimulatedDisk.sectorBytes)
    }

    func resize(to size: Int) {
        let old = contents.count
        if size < old {
            contents.removeLast(old - size)
            markDirty(size, old - size)
        } else {
            contents += [UInt8](repeating: 0, count: size - old)
            markDirty(old, size - old)
        }
    }

    func sync() {
        if durable.count > contents.count { durable.removeLast(durable.count - contents.count) }
        if durable.count < contents.count {
            durable += [UInt8](repeating: 0, count: contents.count - durable.count)
        }
        for sector in dirtySectors { copy(sector) }
        dirtySectors = []
    }

    func forgetDirty() { dirtySectors = [] }

    /// Makes one sector of the contents durable.
    private func copy(_ sector: Int) {
        let start = sector * SimulatedDisk.sectorBytes
        let end = min(start + SimulatedDisk.sectorBytes, contents.count)
        guard start < end else { return }
        if durable.count < end { durable += [UInt8](repeating: 0, count: end - durable.count) }
        durable.replaceSubrange(start..<end, with: contents[start..<end])
    }

    func losePower(_ generator: inout SeededGenerator) {
        // Most often all of it or nothing, else sector by sector.
        switch generator.next(below: 3) {
        case 0: break
        case 1: sync()
        default:
            for sector in dirtySectors.sorted() where generator.next(below: 2) == 0 { copy(sector) }
        }
        contents = durable
        dirtySectors = []
    }

    func flip(_ bit: Int) {
        guard bit / 8 < contents.count else { return }
        contents[bit / 8] ^= 1 << UInt8(bit % 8)
        if bit / 8 < durable.count { durable[bit / 8] ^= 1 << UInt8(bit % 8) }
    }
}

private final class OpenSimulatedFile: DiskFile, @unchecked Sendable {
    let path: String
    private let disk: SimulatedDisk
    private let file: SimulatedFile

    init(_ disk: SimulatedDisk, _ file: SimulatedFile, _ path: String) {
        self.disk = disk
        self.file = file
        self.path = path
    }

    func size() throws(DiskError) -> Int { file.contents.count }

    func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(DiskError) -> Int {
        if disk.isOff { throw DiskError(.other, "reading from", path, "the power is off") }
        let count = min(bytes.count, max(file.contents.count - offset, 0))
        if count > 0 {
            file.contents.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + count)]))
            }
        }
        return count
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
        do { try disk.call("write of \(bytes.count) bytes at \(offset) to", path) } catch {
            // Part of it may have been done.
            if disk.isOff { file.write(UnsafeRawBufferPointer(rebasing: bytes.prefix(bytes.count / 2)), at: offset) }
            throw error
        }
        try disk.takeRoom(offset + bytes.count - file.contents.count, path)
        file.write(bytes, at: offset)
    }

    func resize(to size: Int) throws(DiskError) {
        try disk.call("resizing to \(size) bytes", path)
        try disk.takeRoom(size - file.contents.count, path)
        file.resize(to: size)
    }

    func sync() throws(DiskError) {
        do { try disk.call("syncing", path) } catch {
            // The system takes what it could not write for written: it is read until the power is cut.
            if !disk.isOff { file.forgetDirty() }
            throw error
        }
        file.sync()
    }
}

private final class SimulatedLock: DiskLock, @unchecked Sendable {
    private let disk: SimulatedDisk
    private let path: String

    init(_ disk: SimulatedDisk, _ path: String) {
        self.disk = disk
        self.path = path
    }

    deinit { disk.unlock(path) }
}
