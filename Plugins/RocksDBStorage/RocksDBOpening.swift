import CRocks
import Core

/// Opens a data directory, or makes one. On a helper thread.
struct RocksDBOpening: Sendable {
    let disk: any Disk
    let layout: RocksDBLayout
    let settings: RocksDBSettings

    struct Outcome: @unchecked Sendable {
        /// `crocks_store *`; nobody else has it until the job has ended.
        let store: OpaquePointer
        let identity: StoreIdentity
        let mark: DurableMarkFile
        /// Whether the last process that had it ended without closing it.
        let wasUnclean: Bool
    }

    /// - Parameter newStore: names the store if there is none yet.
    func run(newStore: UInt64) throws -> Outcome {
        guard let identity = try StoreIdentity.read(disk, layout) else {
            try checkEmpty()
            let identity = StoreIdentity(number: newStore)
            try identity.write(disk, layout)
            return try make(identity)
        }
        return identity.isMade ? try open(identity) : try make(identity)
    }

    private func checkEmpty() throws {
        let names = Set(try disk.list(layout.root) ?? [])
            .subtracting(DataDirectory.namesOfNodes).subtracting(["lock", "store.new"])
        guard !names.isEmpty else { return }
        if names.isSubset(of: ["mark", "data"]) {
            throw StorageDamage(
                "\(layout.root) has no file 'store', and others of a store: part of it was deleted. Nothing was "
                    + "changed. Restore it or a backup, or name an empty directory")
        }
        let shown = names.sorted().prefix(3).joined(separator: ", ")
        throw StorageDamage(
            "\(layout.root) is not a data directory of the storage 'rocksdb' and not empty: it has \(shown). Name an "
                + "empty or a new directory"
                + (names.contains("manifest") && names.contains("journal") ? ", or --storage file" : ""))
    }

    private func make(_ made: StoreIdentity) throws -> Outcome {
        var identity = made
        try disk.makeDirectory(layout.data)
        let store = try openStore(creates: true, number: identity.number, durable: 0)
        do {
            let mark = try DurableMarkFile.create(disk, layout, store: identity.number)
            identity.isMade = true
            try identity.write(disk, layout)
            return Outcome(store: store, identity: identity, mark: mark, wasUnclean: false)
        } catch {
            crocks_close(store, false)
            throw error
        }
    }

    private func open(_ found: StoreIdentity) throws -> Outcome {
        var identity = found
        guard try disk.list(layout.data)?.contains("CURRENT") == true else {
            throw StorageDamage(
                "\(layout.data) has no file 'CURRENT': part of the store was deleted. Nothing was changed. Restore a "
                    + "backup, or name an empty directory")
        }
        let (mark, durable) = try DurableMarkFile.open(disk, layout, store: identity.number)
        let store = try openStore(creates: false, number: 0, durable: identity.isClean ? 0 : durable)
        do {
            guard crocks_number(store) == identity.number, crocks_last(store) >= durable else {
                throw StorageDamage(
                    "\(layout.data) is not what \(layout.store) and \(layout.mark) are about: part of the directory "
                        + "was put in the place of another. Restore all of it, or name an empty directory")
            }
            identity.isClean = false
            try identity.write(disk, layout)
            return Outcome(store: store, identity: identity, mark: mark, wasUnclean: !found.isClean)
        } catch {
            crocks_close(store, false)
            throw error
        }
    }

    private func openStore(creates: Bool, number: UInt64, durable: UInt64) throws -> OpaquePointer {
        var error = crocks_error()
        var status = CROCKS_OK
        let opened = layout.data.withCString { directory in
            var options = crocks_options()
            options.directory = directory
            options.creates = creates
            options.number = number
            options.durable = durable
            options.cache_bytes = settings.cacheBytes
            options.write_buffer_bytes = settings.writeBuffer
            return crocks_open(&options, &status, &error)
        }
        guard let opened else { throw RocksDBFailure(status, &error).error("opening", layout.data) }
        return opened
    }
}
