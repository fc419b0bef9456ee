public import Core

/// Why a request over a `Channel` got no reply. Whether the other side carried it out is not known.
public enum ChannelError: Error, Equatable {
    /// No reply came in time.
    case timedOut
    case closed(CloseReason)
    /// What came is no reply, or answers what was not asked.
    case unreadable(String)
    /// As many requests are in flight as may be, or a stream of replies has the channel to itself: it was not sent.
    case full
}
