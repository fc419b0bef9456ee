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

    @Test("what was flushed is there after a power cut at any call, and of the rest a beginning")
    func powerCuts() throws {
        for cut in 1...260 { #expect(try StoreRun.powerCut(at: cut) == nil, "cut \(cut)") }
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
                #expect(try await model.find(store, from: model.count) == model.count)
                _ = await StoreRun.work(store, &model, batches: 300, &random)
                await store.close()
            }
            disk.restart()
        }
    }

    @Test("a bit that turns is found, and never served")
    func turnedBits() throws {
        var damages = 0
        for seed in 1...150 as ClosedRange<UInt64> {
            let (path, outcome) = try StoreRun.turnedBit(seed: seed)
            #expect(outcome != .served, "seed \(seed): \(path)")
            guard case .refused(let why) = outcome else { continue }
            #expect(why.contains(path) || why.contains("/data/"))
            damages += 1
        }
        #expect(damages > 40, "\(damages)")
    }

    @Test("a full disk refuses writes, keeps what it has, and takes writes again when there is room")
    func fullDisk() throws {
        let disk = SimulatedDisk(seed: 1)
        var model = StoreModel(seed: 1)
        var random = SplitMix64(seed: 1)
        try onLoop(seed: 1) { runtime in
            let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
            try await store.open()
            #expect(store.writeRefusal == nil)
            disk.capacity = 40 * 1024
            var written = 0
            while store.writeRefusal == nil, written < 1000 {
                _ = await StoreRun.work(store, &model, batches: 1, &random)
                await runtime.sleep(for: .milliseconds(200))
                written += 1
            }
            #expect(store.writeRefusal?.code == .outOfDiskSpace)
            // What a member must write to stay one still goes.
            try store.apply(model.nextBatch())
            #expect(try await model.find(store, from: model.count) == model.count)
            disk.capacity = nil
            await runtime.sleep(for: Limits.diskFullRetry * 3)
            #expect(store.writeRefusal == nil)
            try await store.flush(upTo: store.appliedMark)
            await store.close()
        }
        disk.restart()
        try onLoop(seed: 2) { runtime in
            let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
            try await store.open()
            #expect(try await model.find(store, from: model.count) == model.count)
        }
    }

    @Test("a store is opened on a full disk, serves what it has, and takes writes again when there is room")
    func openingWhenFull() throws {
        for seed in 1...12 as ClosedRange<UInt64> {
            let problem = try StoreRun.openedWhenFull(seed: seed)
            #expect(problem == nil, "seed \(seed): \(problem ?? "")")
        }
    }

    @Test("a power cut at any call of a start on a full disk takes nothing that was promised")
    func powerCutsWhenFull() throws {
        var cut = 1
        while true {
            var wasCut = false
            let problem = try StoreRun.openedWhenFull(seed: UInt64(cut), cut: cut, &wasCut)
            #expect(problem == nil, "cut \(cut): \(problem ?? "")")
            if !wasCut { break }
            cut += 1
        }
        #expect(cut > 5)
    }

    @Test("a store whose disk is full closes nevertheless")
    func closingWhenFull() throws {
        let disk = SimulatedDisk(seed: 3)
        var model = StoreModel(seed: 3)
        try onLoop(seed: 3) { runtime in
            let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
            try await store.open()
            disk.capacity = 0
            for _ in 0..<400 { try store.apply(model.nextBatch()) }
            await runtime.sleep(for: .seconds(1))
            #expect(store.durableMark < store.appliedMark)
            await store.close()
        }
    }

    @Test("a sync that fails is the end: nothing is called durable and nothing is taken any more")
    func failedSync() throws {
        for call in 20...60 {
            let disk = SimulatedDisk(seed: 1)
            var model = StoreModel(seed: 1)
            var random = SplitMix64(seed: 1)
            try onLoop(seed: 1) { runtime in
                let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
                try await store.open()
                disk.failure = (disk.calls + call, .other)
                _ = await StoreRun.work(store, &model, batches: 200, &random)
                let durable = store.durableMark
                await #expect(throws: (any Error).self) {
                    try store.apply(model.nextBatch())
                    try await store.flush(upTo: store.appliedMark)
                }
                await runtime.sleep(for: .seconds(10))
                #expect(store.durableMark == durable)
            }
        }
    }

    @Test("spares of any names become segments, each once, and names that are not ours are left alone")
    func spares() throws {
        let disk = SimulatedDisk(seed: 5)
        var model = StoreModel(seed: 5)
        var random = SplitMix64(seed: 5)
        let others = ["18446744073709551615", "spare-x", "notes"]
        for round in 0..<4 {
            try onLoop(seed: UInt64(round)) { runtime in
                if round == 1 {
                    for name in ["spare-1", "spare-10", "spare-2"] + others {
                        _ = try disk.open("/data/journal/\(name)", create: true)
                    }
                    try disk.syncDirectory("/data/journal")
                }
                let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: smallSettings)
                try await store.open()
                #expect(try await model.find(store, from: model.count) == model.count)
                let before = model.count
                let promised = await StoreRun.work(store, &model, batches: 300, &random)
                #expect(promised > before && model.count == before + 300, "the disk did not fail")
                await store.close()
            }
        }
        let names = try disk.list("/data/journal") ?? []
        #expect(others.allSatisfy(names.contains))
        #expect(names.filter { $0.hasPrefix("spare-") }.count <= Limits.journalSparesMax + 1)
    }

    @Test("frames that lie across the pieces in which a file is looked through are found and passed over")
    func largeFrames() throws {
        var settings = FileSettings()
        settings.segmentBytes = 4 << 20
        settings.checkpointJournalBytes = 6 << 20
        settings.checkpointChunkBytes = 1 << 20
        let disk = SimulatedDisk(seed: 7)
        let table = TableID(rawValue: 20)
        var random = SplitMix64(seed: 7)
        var values: [[UInt8]] = []
        for _ in 0..<3 {
            try onLoop(seed: 7) { runtime in
                let store = FileStorage(runtime, disk, directory: "/data", name: "store", settings: settings)
                try await store.open()
                for (number, value) in values.enumerated() {
                    try [1, UInt8(number)].withUnsafeBytes {
                        guard case .found(let found) = try store.get(table, $0) else {
                            Issue.record("value \(number) is not there")
                            return
                        }
                        #expect(found.elementsEqual(value))
                    }
                }
                for _ in 0..<40 {
                    let value = (0..<(200_000 + random.below(200_000))).map { _ in
                        UInt8(truncatingIfNeeded: random.next())
                    }
                    let batch = WriteBatch()
                    [1, UInt8(values.count)].withUnsafeBytes { key in
                        value.withUnsafeBytes { batch.put(table, key: key, value: $0) }
                    }
                    try store.apply(batch)
                    values.append(value)
                    try await store.flush(upTo: store.appliedMark)
                }
            }
            disk.restart()
        }
    }

    @Test("settings are numbers within their bounds")
    func settings() throws {
        let settings = try FileSettings(
            PartOptions(["journal-commit-interval": "20", "checkpoint-journal": "3"]))
        #expect(settings.journalCommitInterval == .milliseconds(20) && settings.checkpointJournalBytes == 3 << 20)
        for bad in ["", "0", "-1", "501", "1e2", "99999999999999999999"] {
            #expect(throws: PartOptionError.self) {
                try FileSettings(PartOptions(["journal-commit-interval": bad]))
            }
        }
    }
}
