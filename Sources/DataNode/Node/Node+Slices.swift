internal import Core
internal import Data
internal import Frontend

/// The one way of working in slices of the loop: reads and writes of commands, index builds, application of entries,
/// checks.
///
/// A slice is given its end, and answers with a result when the work is through. When it answers nil, or throws
/// `StorageNotResident`, it has kept what it has done and is called again: after what it missed was brought into
/// memory, and everything else that waited for the loop has had its turn. What has to hold for the work to go on is
/// checked between two slices, by whoever asked for it.
extension Node {
    /// Runs slices until one has a result.
    /// - Parameters:
    ///   - slice: does some of the work, until the instant that it is given.
    ///   - between: lets the loop run (`endSlice`) and throws when the work must not go on.
    func inSlices<Result>(
        _ slice: (Instant) throws -> Result?, between: () async throws -> Void
    ) async throws -> Result {
        while true {
            do {
                if let result = try slice(runtime.loopSliceEnd) { return result }
            } catch let missing as StorageNotResident {
                data.note(missing)
            }
            try await between()
        }
    }

    /// The same for work that nothing ends but its own errors.
    func inSlices<Result>(_ slice: (Instant) throws -> Result?) async throws -> Result {
        try await inSlices(slice) { try await endSlice() }
    }

    /// What every slice ends with: what it missed is brought into memory, and everything else that waits for the loop
    /// runs once.
    func endSlice() async throws {
        if let missing = data.takeMissing() {
            runtime.probe("a slice waited for the storage")
            try await data.prefetch(missing)
        }
        await frontend.yieldLoop()
    }
}

extension WriteProgress {
    /// The result of a slice that is the last when it says so.
    var ended: Void? {
        switch self {
        case .done: ()
        case .yield: nil
        }
    }
}

extension CommandContext {
    /// Runs the slices of a read until one has a result.
    /// - Throws: `MaxTimeMSExpired`, `Interrupted`, and what else ends a read.
    func inReadSlices<Result>(_ slice: (Instant) throws -> Result?) async throws -> Result {
        try await node.inSlices(slice) { try await awaitNextReadSlice() }
    }

    /// Runs the slices of a write until one has a result; each is a write of the term in which it runs.
    /// - Throws: `MaxTimeMSExpired`, `Interrupted`, `NotWritablePrimary` and its kin.
    func inWriteSlices<Result>(_ slice: (WriteContext, Instant) throws -> Result?) async throws -> Result {
        try await node.inSlices({ node.lock.isHeld ? nil : try slice(try writeContext(), $0) }) {
            try await awaitNextSlice()
        }
    }

    /// Runs the slices of work on the way to a write, which logs nothing itself.
    func inPreparingSlices<Result>(_ slice: (Instant) throws -> Result?) async throws -> Result {
        try await node.inSlices({ node.lock.isHeld ? nil : try slice($0) }) {
            try await endSlice()
            try await awaitUnlock()
            try checkDeadline()
            try checkWritable()
        }
    }

    /// `Node.endSlice` for a command, which is nobody's while it waits.
    func endSlice() async throws {
        pause()
        defer { resume() }
        if node.data.takeClosedRange() { try await awaitOpenRange() } else { metClosedRangeAt = nil }
        try await node.endSlice()
    }
}
