import Core

/// How messages travel from one node to another. A link has one direction.
public struct LinkConditions: Sendable {
    /// No message is faster.
    public var minimumDelay: Duration = .microseconds(50)
    /// Added to the minimum, exponentially distributed with this mean.
    public var meanExtraDelay: Duration = .microseconds(150)
    /// How often a message is held up for `tailDelay` more.
    public var tailProbability = 0.001
    public var tailDelay: Duration = .milliseconds(20)
    /// How often a packet is lost. A lost packet is sent again: the message, and all behind it, come `retransmitDelay`
    /// later.
    public var lossProbability = 0.0
    public var retransmitDelay: Duration = .milliseconds(200)
    /// How often a message breaks its connection instead of arriving.
    public var resetProbability = 0.0
    /// How often several messages of one flush arrive apart.
    public var splitProbability = 0.0

    public init() {}

    /// A link within one rack.
    public static let local = LinkConditions()

    /// A link between places that are `delay` apart.
    public static func distant(_ delay: Duration) -> LinkConditions {
        var link = LinkConditions()
        link.minimumDelay = delay
        link.meanExtraDelay = delay / 10
        link.tailDelay = delay * 4
        return link
    }

    /// Draws the delay of one message.
    func drawDelay(_ generator: inout SeededGenerator) -> Duration {
        // Not the logarithm of the C library, whose last bit may differ between machines: an exponential distribution
        // is approximated by counting the leading zeros of a random word, linear in between.
        let draw = generator.next() | 1
        let zeros = draw.leadingZeroBitCount
        let fraction = Double((draw << UInt64(zeros + 1)) >> 11) * 0x1p-53
        let extra = Double(meanExtraDelay.nanoseconds) * 0.693 * (Double(zeros) + 1 - fraction)
        var delay = minimumDelay + .nanoseconds(Int64(extra))
        if generator.nextBool(probability: tailProbability) { delay += tailDelay }
        if generator.nextBool(probability: lossProbability) { delay += retransmitDelay }
        return delay
    }
}

/// What becomes of a dead node's connections.
public enum DeadConnections: Sendable {
    /// The process died, its host lives: peers see the connections close after the link's delay.
    case reset
    /// The host died or was cut off: peers see silence.
    case halfOpen
}
