internal import BSON
internal import Core
internal import Frontend
internal import Query

/// The `let` of a command: expressions without a document, evaluated before the command begins. They may take many
/// slices of the loop.
extension CommandContext {
    /// What compiling a query may know.
    func queryContext() -> QueryContext {
        var context = QueryContext(
            variables: variables, nowMillis: runtime.wallClock.milliseconds, randomSeed: runtime.randomNumber())
        // Confined: a context lives and dies on the loop of the node that runs the query.
        context.budget = Confined(EvaluationBudget(runtime, deadline: deadline))
        let last = node.lastOpTime
        if node.role.isReplicated, !last.isNull { context.clusterTime = last.timestamp }
        return context
    }

    /// The command's variables, or those of the command that it explains.
    private var variablesSource: ValueView? {
        if arguments.hasVariables { return body["let"] }
        guard body.isFirst("explain") else { return nil }
        return argument.asDocument?["let"]
    }

    /// Whether there are variables that have not been evaluated.
    var lacksVariables: Bool {
        guard arguments.hasVariables || isExplain else { return false }
        return variables.isEmpty && variablesSource != nil
    }

    /// Evaluates the variables, in slices.
    /// - Throws: what is wrong with them; `MaxTimeMSExpired`.
    func evaluateVariables() async throws {
        guard lacksVariables, let value = variablesSource, value.type != .null else { return }
        guard let expressions = value.asDocument else { throw wrongType("\(command.name).let", value, "object") }
        var found: [String: Value?] = [:]
        var query = queryContext()
        for element in expressions {
            let name = element.key.string
            if ["NOW", "CLUSTER_TIME", "USER_ROLES"].contains(name) {
                throw ServerError(ErrorCode(rawValue: 4_738_901), "Cannot override system variable '\(name)'")
            }
            if name != "CURRENT" { try Expression.checkVariableName(name) }
            guard let constant = try await evaluate(try Expression(element.value, context: query), query.budget) else {
                throw ServerError(
                    ErrorCode(rawValue: 4_890_500),
                    "Command let Expression does not evaluate to a constant: \(name)")
            }
            found[name] = constant
            query.variables[name] = constant
        }
        variables = found
    }

    private func evaluate(_ expression: Expression, _ budget: Confined<EvaluationBudget>?) async throws -> Value? {
        try await inReadSlices { end -> Value?? in
            budget?.value.beginSlice(until: end)
            return try (budget?.value).interruptibly { () throws(ServerError) in
                try expression.evaluate(root: .empty)
            }
        }
    }
}
