/// How far a cursor came in one slice.
public enum CursorProgress: Sendable {
    /// The batch is full; there may be more.
    case batchFull
    /// There is no more: the cursor is done.
    case exhausted
    /// The slice is used up: let the loop run and go on with the same batch.
    case yield
    /// A tailable cursor has shown everything there is now.
    case waiting
}
