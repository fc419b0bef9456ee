import BSON
import Conformance
import Core
@testable import FileStorage
import Simulation
import Testing

@Suite struct FileStorageTests {
    @Test("FileStorage keeps the storage contract", arguments: 1...3 as ClosedRange<UInt64>)
    func conformance(seed: UInt64) throws {
        try onLoop(seed: seed) { runtime in
            var number = 0
            let disk = SimulatedDisk(seed: seed)
            let suite = StorageConformance(seed: seed, steps: 1500) {
                number += 1
                return FileStorage(
                    runtime, disk, directory: "/data/\(number)", name: "store", settings: smallSettings)
            }
            try await suite.run()
        }
    }

    /// Writes, flushes now and then, until all is done or the disk fails. Returns how many batches are promised.
    private static func work(
        _ store: FileStorage, _ model: inout StoreModel, batches: Int, _ random: inout SplitMix64
    ) async -> Int {
        var promised = 0
        let start = model.count
        do {
            for _ in 0..<batches {
                try store.apply(model.nextBatch())
                if random.below(4) == 0 {
                    try await store.flush(upTo: store.appliedMark)
                    promised = start + Int(store.durableMark)
                }
            }
        } catch {}
        return max(promised, start + Int(store.durableMark))
    }

    @Test("what was flushed is there after a power cut at any call, and of the rest a beginning")
    func powerCuts() throws {
        for cut in 1...260 {
            let seed = UInt64(cut)
            let disk = SimulatedDisk(seed: seed)
            var model = StoreModel(seed: seed)
            var random = SplitMix64(seed: seed)
            var promised = 0
            disk.failure = (cut, nil)
            // The first life is cut off at that call, the second in its recovery or soon after, the third is whole.
            for life in 0..<3 {
                try onLoop(seed: seed) { runtime in
                    let store = FileStorage(
                        runtime, disk, directory: "/data", name: "store", settings: smallSettings)
                    do { try await store.open() } catch {
                        guard disk.isOff else { throw error }
                        return
                    }
                    let found = try #require(
                        try model.find(store, from: promised), "cut \(cut), life \(life): \(promised) are promised")
                    promised = found
                    model.forget(behind: found)
                    promised = await Self.work(store, &model, batches: life == 2 ? 5 : 60, &random)
                    if life == 2 { await store.close() }
                }
                disk.restart()
                if life == 0 { disk.failure = (disk.calls + 1 + Int(random.below(40)), nil) }
            }
        }
    }

    @Test("a store that was closed is found as it was, whole")
    func reopening() throws {
        let disk = SimulatedDisk(seed: 1)
        var model = StoreModel(seed: 1)
        var random = SplitMix64(seed: 1)
        for _ in 0..<6 {
            try onLoop(seed: 1) { runtime in
                let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
                try await store.open()
                #expect(!store.wasUnclean)
                #expect(try model.find(store, from: model.count) == model.count)
                _ = await Self.work(store, &model, batches: 300, &random)
                await store.close()
            }
            disk.restart()
        }
    }

    @Test("a bit that turns is found, and never served")
    func turnedBits() throws {
        var damages = 0
        for seed in 1...150 as ClosedRange<UInt64> {
            let disk = SimulatedDisk(seed: seed)
            var model = StoreModel(seed: seed)
            var random = SplitMix64(seed: seed)
            var promised = 0
            let isClosed = seed.isMultiple(of: 2)
            try onLoop(seed: seed) { runtime in
                let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
                try await store.open()
                promised = await Self.work(store, &model, batches: 80, &random)
                // A last flush, and the mark behind it that says so.
                try await store.flush(upTo: store.appliedMark)
                promised = model.count
                await runtime.sleep(for: .seconds(1))
                if isClosed { await store.close() }
            }
            disk.endProcess()
            let files = disk.paths.filter { $0 != "/data/lock" && !$0.contains("spare-") }
            let path = files[Int(random.below(files.count))]
            disk.flipBit(of: path, at: Int(random.below((disk.byteCount(of: path) ?? 0) * 8)))
            try onLoop(seed: seed) { runtime in
                let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
                do { try await store.open() } catch let damage as StorageDamage {
                    #expect(damage.description.contains(path) || damage.description.contains("/data/"))
                    damages += 1
                    return
                }
                let found = try model.find(store, from: promised)
                #expect(found == promised, "seed \(seed): \(path)")
            }
        }
        #expect(damages > 40, "\(damages)")
    }
}
