import BSON
import Core

/// The state of one evaluation: the root document, the variables in scope, what was found out on the way, and, when it
/// was interrupted, where to go on.
struct EvaluationScope {
    /// The document, the same bytes in every slice of an evaluation.
    var root: DocumentView
    private(set) var slots: [Value?]
    private var invariants: [Invariant]
    /// How often loops at each depth have bound their variables.
    private var turns: [Int]
    /// What is known of the array that a `$reduce` has appended to last.
    private var appended: AppendedArray?
    private var lookups: ArrayLookups?
    private let budget: EvaluationBudget?
    private var stepsLeft: Int
    /// Looks that an evaluation without a budget may still take.
    private var looksLeft = Limits.evaluationStepsMax / Limits.evaluationStepsPerLook
    /// Forms around that cannot be interrupted.
    private var uninterruptible = 0
    /// What the nodes from the innermost to the root keep while the evaluation is interrupted.
    private var frames: [Any] = []
    private(set) var isInterrupted = false
    /// Whether the clock was looked at.
    private(set) var isLong = false

    /// A value that does not change while the loops around it, up to some depth, stay at one turn.
    private struct Invariant {
        var turn = -1
        var value: Value?
    }

    init(root: DocumentView, shape: EvaluationShape = EvaluationShape(), budget: EvaluationBudget? = nil) {
        self.root = root
        slots = shape.slotCount > 0 ? [Value?](repeating: nil, count: shape.slotCount) : []
        invariants = shape.invariantCount > 0 ? [Invariant](repeating: Invariant(), count: shape.invariantCount) : []
        turns = shape.loopDepth > 0 ? [Int](repeating: 0, count: shape.loopDepth + 1) : []
        self.budget = budget
        stepsLeft = budget?.stepsLeft ?? Limits.evaluationStepsPerLook
    }

    /// For values that are computed while an expression is compiled: fails when that takes long.
    static func folding(_ root: DocumentView) -> EvaluationScope {
        var scope = EvaluationScope(root: root)
        scope.looksLeft = 4
        return scope
    }

    // MARK: Steps

    /// Counts work. Throws when it was too much, or when others have to run first.
    @inline(__always) mutating func spend(_ steps: Int) throws(ServerError) {
        stepsLeft &-= steps
        if stepsLeft < 0 { try look() }
    }

    /// Counts work on so many bytes, without a look at the time.
    @inline(__always) mutating func count(bytes: Int) { stepsLeft &-= bytes &>> 7 }

    private mutating func look() throws(ServerError) {
        isLong = true
        guard let budget else {
            looksLeft -= 1 + -stepsLeft / Limits.evaluationStepsPerLook
            stepsLeft = Limits.evaluationStepsPerLook
            guard looksLeft > 0 else {
                throw ServerError(
                    .exceededTimeLimit, "an expression took more than \(Limits.evaluationStepsMax) steps")
            }
            return
        }
        let isOver = try budget.look()
        stepsLeft = budget.stepsLeft
        guard isOver else { return }
        guard uninterruptible == 0 else { return try budget.hold() }
        isInterrupted = true
        throw .evaluationInterrupted
    }

    /// The evaluation is over: the next of the operation goes on counting.
    func handBackSteps() { budget?.stepsLeft = stepsLeft }

    /// Runs what cannot be taken up again once it was left.
    mutating func uninterrupted(
        _ body: (inout EvaluationScope) throws(ServerError) -> Value?
    ) throws(ServerError) -> Value? {
        uninterruptible += 1
        defer { uninterruptible -= 1 }
        return try body(&self)
    }

    // MARK: Interruption

    /// Keeps what a node needs to go on, when it is left because of an interruption; called on the way out, so that the
    /// innermost node comes first.
    mutating func keep(_ frame: @autoclosure () -> Any) { if isInterrupted { frames.append(frame()) } }

    /// What this node kept when it was left; nil when it begins.
    @inline(__always) mutating func kept<Frame>(_ type: Frame.Type) -> Frame? {
        frames.isEmpty ? nil : takeFrame(type)
    }

    private mutating func takeFrame<Frame>(_ type: Frame.Type) -> Frame? {
        if let frame = frames.removeLast() as? Frame { return frame }
        // Evaluating is pure: beginning anew is always right, if slower.
        frames = []
        return nil
    }

    /// Goes on behind an interruption, with the same document in another place.
    mutating func resume(root: DocumentView) {
        self.root = root
        isInterrupted = false
        stepsLeft = budget?.stepsLeft ?? Limits.evaluationStepsPerLook
    }

    // MARK: Variables

    @inline(__always) mutating func set(_ slot: Int, _ value: Value?) { slots[slot] = value }

    /// Takes a variable's value out, so that nothing but the caller holds it.
    mutating func take(_ slot: Int) -> Value? {
        var value: Value?
        swap(&slots[slot], &value)
        return value
    }

    /// The number of elements that the array in a variable has, when it was just appended to.
    func appendedCount(_ slot: Int) -> Int? { appended?.slot == slot ? appended?.count : nil }

    mutating func appended(to slot: Int, count: Int) { appended = AppendedArray(slot: slot, count: count, isNew: true) }

    /// Sets what a loop carries from turn to turn to the outcome of its body.
    mutating func carry(_ slot: Int, _ value: Value?) {
        if let known = appended, known.slot == slot {
            // Appended to in this turn, or handed on as it was: anything else is another array.
            if known.isNew || isHeld(value, in: slot) {
                appended?.isNew = false
            } else {
                appended = nil
            }
        }
        slots[slot] = value
    }

    private func isHeld(_ value: Value?, in slot: Int) -> Bool {
        guard case .array(let array) = value, case .array(let held) = slots[slot] else { return false }
        return array.identity == held.identity
    }

    /// The next turn of a loop at `depth` begins.
    @inline(__always) mutating func beginTurn(_ depth: Int) { turns[depth] &+= 1 }

    /// The value of a node that does not change while loops deeper than `depth` turn.
    mutating func invariant(_ index: Int, _ depth: Int, _ node: ExpressionTree) throws(ServerError) -> Value? {
        let turn = turns[depth]
        if invariants[index].turn == turn { return invariants[index].value }
        let value = try node.evaluate(&self)
        invariants[index] = Invariant(turn: turn, value: value)
        return value
    }

    /// The operands' values.
    mutating func evaluate(_ operands: [ExpressionTree]) throws(ServerError) -> [Value?] {
        var values = kept([Value?].self) ?? []
        do throws(ServerError) {
            values.reserveCapacity(operands.count)
            while values.count < operands.count { values.append(try operands[values.count].evaluate(&self)) }
            return values
        } catch {
            keep(values)
            throw error
        }
    }

    // MARK: Arrays

    /// The element of an array at an index, from the end when it is negative; nil when there is none.
    mutating func element(_ array: Document, at index: Int) throws(ServerError) -> Value? {
        guard !turns.isEmpty, array.byteCount >= ArrayLookups.bytesMin else { return array.element(at: index) }
        return try tables().element(array, at: index, &self)
    }

    /// Whether an array holds a value.
    mutating func contains(_ array: Document, _ value: Value) throws(ServerError) -> Bool {
        guard !turns.isEmpty, array.byteCount >= ArrayLookups.bytesMin else {
            return array.firstIndex(of: value) != nil
        }
        return try tables().contains(array, value, &self)
    }

    private mutating func tables() -> ArrayLookups {
        if let lookups { return lookups }
        let made = ArrayLookups()
        lookups = made
        return made
    }
}

/// How much room the evaluations of an expression need.
struct EvaluationShape {
    var slotCount = 0
    var invariantCount = 0
    var loopDepth = 0
}
