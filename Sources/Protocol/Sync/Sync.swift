public struct Sync: ~Copyable {
    /// The deadlines of sync.
    public enum Timer: Hashable, Sendable {
        /// The next round is due.
        case period
        /// It is time to see whether a session still makes progress.
        case session(SessionID)
    }
}
