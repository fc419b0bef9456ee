/// Time for who waits outside every loop: the program that holds a set, not the nodes in it. Nodes have their
/// runtime's.
public enum LiveTime {
    /// Only ever compared with itself.
    public static var now: SuspendingClock.Instant { SuspendingClock().now }
    /// Returns after `duration`, or at once when the task is cancelled.
    public static func sleep(for duration: Duration) async { try? await Task.sleep(for: duration) }
}
