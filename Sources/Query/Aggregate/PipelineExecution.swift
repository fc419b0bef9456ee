import BSON
import Core

/// What the stages of a running pipeline need besides their input.
public struct PipelineEnvironment {
    let clock: PipelineClock
    let memory: StageMemory
    let makeExternal: (PipelineStage, any StageExecution) throws -> any StageExecution

    /// - Parameters:
    ///   - clock: the slice that all stages share.
    ///   - memory: what each stage may hold.
    ///   - makeExternal: makes a stage that reaches beyond its input, over the one that it asks for that.
    public init(
        clock: PipelineClock, memory: StageMemory = StageMemory(store: nil),
        makeExternal: @escaping (PipelineStage, any StageExecution) throws -> any StageExecution
    ) {
        self.clock = clock
        self.memory = memory
        self.makeExternal = makeExternal
    }
}

extension Pipeline {
    /// Makes the stages from `start` on, each asking the one before it, and the first of them `source`.
    ///
    /// Nothing is pushed: a stage gets a document when it asks for one, so there is no order of calls that a stage, or
    /// whoever runs the last one, could break.
    public func makeExecution(
        from start: Int = 0, over source: any StageExecution, _ environment: PipelineEnvironment
    ) throws -> any StageExecution {
        var output = source
        for index in stages.indices[start...] {
            output = try execution(index, output, environment)
        }
        return output
    }

    private func execution(
        _ index: Int, _ source: any StageExecution, _ environment: PipelineEnvironment
    ) throws -> any StageExecution {
        let (clock, memory) = (environment.clock, environment.memory)
        let stage = stages[index]
        switch stage.action {
        case .match(let filter): return MatchStage(source, filter, budget)
        case .transform(let transform): return TransformStage(source, transform, budget)
        case .group(let specification): return GroupStage(source, specification, clock, budget, memory)
        case .sort(let pattern): return SortStage(source, pattern, limit: keptBySort(behind: index), clock, memory)
        case .limit(let count): return LimitStage(source, count)
        case .skip(let count): return SkipStage(source, count)
        case .unwind(let specification): return UnwindStage(source, specification, clock)
        case .count(let name): return CountStage(source, name: name)
        case .sample(let size, let random): return SampleStage(source, size: size, random: random, clock)
        case .window(let specification): return try WindowStage(source, specification, clock, budget, memory)
        case .bucketAuto(let specification): return try BucketAutoStage(source, specification, clock, budget, memory)
        case .densify(let specification): return DensifyStage(source, specification, clock, memory)
        case .redact(let expression): return RedactStage(source, expression, clock, budget)
        case .facet(let pipelines): return try FacetStage(source, pipelines, environment)
        case .external: return try environment.makeExternal(stage, source)
        }
    }

    /// How many documents a sort has to keep for the `$skip` and `$limit` right behind it.
    private func keptBySort(behind index: Int) -> Int? {
        var skipped: Int64 = 0
        for stage in stages[(index + 1)...] {
            switch stage.action {
            case .skip(let count):
                let (sum, overflow) = skipped.addingReportingOverflow(count)
                if overflow { return nil }
                skipped = sum
            case .limit(let count):
                let (sum, overflow) = skipped.addingReportingOverflow(count)
                return overflow ? nil : Int(exactly: sum)
            default: return nil
            }
        }
        return nil
    }
}
