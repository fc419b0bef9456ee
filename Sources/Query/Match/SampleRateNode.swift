import BSON
import Core

/// `$sampleRate`: each document with a probability.
final class SampleRateNode: MatchNode {
    private let rate: Double
    private let random: QueryRandom
    private let source: Value

    init(_ value: ValueView, context: QueryContext) throws(ServerError) {
        source = Value(value)
        guard let number = Number(source) else {
            throw ServerError(.badValue, "argument to $sampleRate must be a numeric type")
        }
        guard (0...1).contains(number.doubleValue) else {
            throw ServerError(.badValue, "numeric argument to $sampleRate must be in [0, 1]")
        }
        guard let random = context.random?.value else {
            throw ServerError(.notImplemented, "$sampleRate is not available here")
        }
        rate = number.doubleValue
        self.random = random
    }

    override func matches(_ document: DocumentView, _ details: inout MatchDetails) throws(ServerError) -> Bool {
        random.nextUnit() < rate
    }
    override func describe() -> Document { ["$sampleRate": source] }
}
