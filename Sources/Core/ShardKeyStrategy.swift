public import BSON

/// **Plug point.** Decides how the documents of a sharded collection are spread: which place in an ordered space of
/// keys a document has, and where an empty collection is cut first.
///
/// Purpose: `layout` says what positions are made of (values in order, hashes, buckets) for the fields of a shard key;
/// `scatter` is the strategy's own hash function, if the layout needs one; `initialSplits` proposes the first chunks.
/// All else follows from the layout and is the core's (`ShardKeySpace`): extracting the fields of a document, encoding
/// positions as bytes that `memcmp` orders, turning the bounds of a filter into the smallest set of ranges.
///
/// Contract:
/// - Pure: `layout` depends on the pattern alone, `scatter` on the bytes and the component alone, in every process and
///   for as long as there is a collection sharded with it. Swift's `Hasher` is not: its seed differs by process.
/// - Called synchronously on a node's loop: `scatter` twice for each document that is written, and for each value that
///   a filter asks for. It must return within microseconds and must not call back.
/// - `scatter` is given the canonical form of a value (`HashedKey`), in which values that compare as equal are equal
///   bytes. They are valid during the call. It may answer any number.
/// - `layout` refuses patterns that it cannot do with by throwing `BadValue` with a message that says why.
/// - It cannot be wrong, only slow. Where a document is looked for is computed from the layout, never answered by the
///   strategy. A `scatter` that contradicts itself fails the operation before it has done anything; one that answers
///   otherwise than when the collection was sharded is refused by `ShardKeySpace.fingerprint`. Splits that are no
///   bounds of the layout are left out.
///
/// How to implement: see `RangedShardKeys` in `Plugins/ShardKeyStrategies` for the smallest, `XXHashShardKeys` for one
/// with a hash function of its own. What `scatter` cannot do is to keep an order: a component that is to be found by
/// ranges is `.ordered`, or `.buckets` with an `.ordered` one behind it.
/// You are guaranteed: the pattern has been checked; components that the core refuses (no such field, a name twice)
/// fail `shardCollection`, so `scatter` sees only components of a layout that was accepted.
/// Conformance suite: `ShardKeyStrategyConformance` of the Conformance module.
public protocol ShardKeyStrategy: Sendable {
    /// As in `--shard-key-strategy`; kept with each collection that is sharded with it.
    var name: String { get }

    /// What positions are made of, for the fields of a shard key.
    /// - Throws: `BadValue` for a pattern that the strategy is not for.
    func layout(of pattern: ShardKeyPattern) throws(ServerError) -> ShardKeyLayout

    /// A number for a value; asked for components that are `.scattered` or `.buckets`.
    /// - Parameters:
    ///   - value: the canonical form of the value, of null for a missing field.
    ///   - component: the component that it is for.
    func scatter(_ value: UnsafeRawBufferPointer, for component: ShardKeyComponent) -> UInt64

    /// Bounds between the first chunks of an empty collection, in any order: each a document with a value for every
    /// component, as `InitialChunkRequest.evenSplits` makes them. The borders of zones need not be among them.
    func initialSplits(_ request: InitialChunkRequest) -> [Document]
}

extension ShardKeyStrategy {
    /// For layouts without components that ask the strategy.
    public func scatter(_ value: UnsafeRawBufferPointer, for component: ShardKeyComponent) -> UInt64 { 0 }
    /// One chunk.
    public func initialSplits(_ request: InitialChunkRequest) -> [Document] { [] }
}
