import BSON
import Core

/// How an operator takes its operands.
enum OperatorEntry: Sendable {
    /// Operands by position, `least ... most` of them.
    case positional(Int, Int, OperatorFunction)
    /// The same, with work that is done in steps.
    case stepwise(Int, Int, StepwiseFunction)
    /// Operands by name.
    case named(required: [String], optional: [String], NamedOperatorFunction)
    /// An operator that compiles its argument itself.
    case form(@Sendable (ValueView, ExpressionCompiler) throws(ServerError) -> ExpressionTree)

    static func unary(_ function: @escaping OperatorFunction) -> OperatorEntry { .positional(1, 1, function) }
    static func binary(_ function: @escaping OperatorFunction) -> OperatorEntry { .positional(2, 2, function) }
    static func variadic(_ function: @escaping OperatorFunction) -> OperatorEntry { .positional(0, .max, function) }
}

/// Every expression operator by its name.
enum OperatorTable {
    static let entries: [String: OperatorEntry] = {
        var entries: [String: OperatorEntry] = [:]
        for table in [
            ArithmeticOperators.table, RoundingOperators.table, ComparisonOperators.table, LogicOperators.table,
            VariableOperators.table, StringOperators.table, StringSearchOperators.table, ArrayOperators.table,
            ArrayShapeOperators.table, ArraySelectionOperators.table, SetOperators.table, ObjectOperators.table,
            ConversionOperators.table, DatePartOperators.table, DateMathOperators.table, DateTextOperators.table,
            AccumulatingOperators.table, RegexOperators.table, TrigonometryOperators.table, BitOperators.table,
            RepresentationOperators.table, PercentileOperators.table, MetadataOperator.table,
        ] {
            entries.merge(table) { first, _ in first }
        }
        return entries
    }()
}
