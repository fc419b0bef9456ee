public import BSON
public import Core
internal import Synchronization

/// A shard key strategy that does what it can to spread documents badly, or to lose them, to try with others. They may
/// be spread badly, and operations may fail; nothing may be lost by it.
public struct HostileShardKeyStrategy: ShardKeyStrategy {
    /// What is hostile about it.
    public enum Manner: String, Sendable, CaseIterable {
        /// The same number for every value: everything on one shard.
        case heap
        /// A number that is another one each time. It does not keep the contract.
        case restless
        /// Splits that are no bounds, repeat and contradict one another.
        case absurd
        /// A split for every number that it can think of.
        case crumbs
        /// The least weight to what tells documents apart.
        case backwards
    }

    /// How this one behaves.
    public let manner: Manner
    public var name: String { "hostile-\(manner.rawValue)" }
    private let dice = Dice()

    /// Counts, so that no two answers are alike.
    private final class Dice: Sendable {
        private let count = Atomic<UInt64>(0)
        func next() -> UInt64 { count.add(1, ordering: .relaxed).newValue }
    }

    /// A strategy that behaves so.
    public init(_ manner: Manner) { self.manner = manner }

    public func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout {
        let fields = pattern.fields.indices
        switch manner {
        case .heap, .restless: return ShardKeyLayout(fields.map { .scattered($0) })
        case .absurd, .crumbs: return ShardKeyLayout(fields.map { .ordered($0) })
        case .backwards: return ShardKeyLayout(fields.reversed().map { .buckets($0, count: 2) })
        }
    }

    public func scatter(_ value: UnsafeRawBufferPointer, for component: ShardKeyComponent) -> UInt64 {
        switch manner {
        case .heap: 7
        case .restless: SplitMix64.mix(dice.next())
        default: UInt64(value.last ?? 0)
        }
    }

    public func initialSplits(_ request: InitialChunkRequest) -> [Document] {
        let name = request.pattern.fields[0].path
        switch manner {
        case .heap, .restless: return request.evenSplits(0, parts: 3) + request.evenSplits(0, parts: 3)
        case .backwards: return request.evenSplits(0, parts: .max)
        case .absurd:
            return [
                [:], ["no": "field"], ["": .minKey], Document { $0.append(name, .string("z")) },
                Document { $0.append(name, .string("a")) }, Document { $0.append(name, .maxKey) },
                Document { $0.append(name, .minKey) },
            ]
        case .crumbs:
            return (0..<100_000).map { number in
                Document { writer in
                    for field in request.pattern.fields { writer.append(field.path, .int32(Int32(number))) }
                }
            }
        }
    }
}
