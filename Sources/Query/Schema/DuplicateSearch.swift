import BSON
import Core

/// Looks for the first value of an array that is in it before: sorts the values, in steps.
final class DuplicateSearch {
    private var values: [Value] = []
    private var sort: StepwiseSort<Int>?
    /// How many neighbours of the sorted values were compared.
    private var compared = 0
    /// Index of the first value that is a repetition.
    private var first: Int?

    /// - Returns: the value; nil when all are different.
    static func duplicate(in array: DocumentView, _ match: inout MatchDetails) throws(ServerError) -> Value? {
        let search = match.kept(DuplicateSearch.self) ?? DuplicateSearch()
        do throws(ServerError) { return try search.run(array, &match) } catch {
            match.keep(search, error)
            throw error
        }
    }

    private func run(_ array: DocumentView, _ match: inout MatchDetails) throws(ServerError) -> Value? {
        if sort == nil {
            _ = try match.first(in: array) { (element, _, _) in
                values.append(SchemaEquality.canonical(Value(element.value)))
                return false
            }
            sort = StepwiseSort(Array(values.indices)) { [unowned self] in
                let order = Value.order(values[$0], values[$1])
                return order < 0 || (order == 0 && $0 < $1)
            }
        }
        while sort?.step() == false { try match.spend(Limits.evaluationStepsPerLook) }
        guard let order = sort?.elements else { return nil }
        while compared + 1 < order.count {
            let (a, b) = (order[compared], order[compared + 1])
            compared += 1
            if Value.equal(values[a], values[b]) { first = min(first ?? b, b) }
            try match.spend(1)
        }
        return first.map { values[$0] }
    }
}
