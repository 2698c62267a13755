import Synchronization

/// A value that is given once, and that any number of tasks may wait for.
final class Announcement<Value: Sendable>: Sendable {
    private enum State {
        case open([CheckedContinuation<Value?, Never>])
        case given(Value?)
    }

    private let state = Mutex(State.open([]))

    /// The first call counts; nil means that no value will ever come.
    func give(_ value: Value?) {
        let waiting: [CheckedContinuation<Value?, Never>] = state.withLock { state in
            guard case .open(let waiting) = state else { return [] }
            state = .given(value)
            return waiting
        }
        for continuation in waiting { continuation.resume(returning: value) }
    }

    /// Waits. Must be given a value, or nil, at some time.
    func value() async -> Value? {
        await withCheckedContinuation { continuation in
            let given: Value?? = state.withLock { state in
                switch state {
                case .open(let waiting):
                    state = .open(waiting + [continuation])
                    return nil
                case .given(let value):
                    return .some(value)
                }
            }
            if let given { continuation.resume(returning: given) }
        }
    }
}
