import Synchronization

/// How many requests of a route may be worked on at once. What is over it is refused at once instead of waiting.
final class ConcurrencyLimit: Sendable {
    let maximum: Int
    private let current = Atomic<Int>(0)

    init(_ maximum: Int) { self.maximum = maximum }

    /// Runs `body`, or returns nil when too many are running already.
    func run<Result: Sendable>(_ body: () async -> Result) async -> Result? {
        guard current.add(1, ordering: .relaxed).newValue <= maximum else {
            current.subtract(1, ordering: .relaxed)
            return nil
        }
        defer { current.subtract(1, ordering: .relaxed) }
        return await body()
    }
}
