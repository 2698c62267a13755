import UnixSignals

/// The wish of a user, or of a supervisor, that a program ends: SIGINT or SIGTERM.
public enum StopSignals {
    /// A task that ends with the first such signal; from then on further ones are ignored. Must not be cancelled.
    public static func task() -> Task<Void, Never> {
        Task {
            for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) { return }
        }
    }
}
