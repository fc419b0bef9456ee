import BSON
import Core

/// `$sum`, `$avg`, `$min`, `$max`, `$stdDevPop`, `$stdDevSamp` over operands, or over the elements of a single array.
enum AccumulatingOperators {
    static let table: [String: OperatorEntry] = [
        "$sum": accumulate { SumAccumulator() },
        "$avg": accumulate { AverageAccumulator() },
        "$min": accumulate { ExtremeAccumulator(keepsGreatest: false) },
        "$max": accumulate { ExtremeAccumulator(keepsGreatest: true) },
        "$stdDevPop": accumulate { StandardDeviationAccumulator(isSample: false) },
        "$stdDevSamp": accumulate { StandardDeviationAccumulator(isSample: true) },
    ]

    private static func accumulate(_ make: @escaping @Sendable () -> any Accumulator) -> OperatorEntry {
        .variadic { (operands) throws(ServerError) in
            let accumulator = make()
            if operands.count == 1, let elements = operands[0]?.asArray {
                for element in elements { try accumulator.add(element) }
            } else {
                for operand in operands { try accumulator.add(operand) }
            }
            return accumulator.result ?? .null
        }
    }
}
