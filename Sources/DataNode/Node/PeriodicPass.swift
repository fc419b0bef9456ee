internal import Core

/// What a node does of itself again and again: a pass, and then a pause.
final class PeriodicPass {
    /// The pause between two passes. Takes effect at once.
    var pause: Duration {
        didSet { if timer != nil { schedule() } }
    }

    private let name: StaticString
    private unowned let node: Node
    private let isDue: () -> Bool
    private let pass: () async -> Void
    private let ended: () -> Void
    private var timer: TimerToken?
    private var lastPass: Instant

    /// - Parameters:
    ///   - isDue: whether there is anything to do; a pass without is over at once.
    ///   - ended: called at the end of each pass, also of one that had nothing to do.
    init(
        _ name: StaticString, _ node: Node, pause: Duration, isDue: @escaping () -> Bool,
        pass: @escaping () async -> Void, ended: @escaping () -> Void
    ) {
        self.name = name
        self.node = node
        self.pause = pause
        self.isDue = isDue
        self.pass = pass
        self.ended = ended
        lastPass = node.runtime.now
    }

    func start() { schedule() }

    func stop() {
        if let timer { node.runtime.cancel(timer) }
        timer = nil
    }

    private func schedule() {
        stop()
        guard !node.isShuttingDown else { return }
        timer = node.runtime.schedule(at: max(lastPass + pause, node.runtime.now)) { [weak self] in self?.wake() }
    }

    private func wake() {
        timer = nil
        guard !node.lock.isHeld, isDue() else { return end() }
        // A pass that runs keeps the node.
        node.runtime.spawn(name) { [self, node = node] in
            await pass()
            withExtendedLifetime(node) { end() }
        }
    }

    private func end() {
        ended()
        lastPass = node.runtime.now
        schedule()
    }
}
