public struct Broadcast: ~Copyable {
    /// The deadlines of broadcast.
    public enum Timer: Hashable, Sendable {
        /// Collected announcements are due.
        case announce
        /// A missing chunk has been waited for long enough.
        case graft
    }
}
