/// Carries a value that is not `Sendable` from the thread that made it to the one that owns it from then on.
///
/// Unchecked because the compiler cannot follow an object through a queue. It is safe because the sender keeps no
/// reference after wrapping, `take` gives the object out once, and the queue that carries the box orders the two threads.
/// The objects are SQLite connections, which may move between threads when only one uses them at a time.
final class Handover<Object>: @unchecked Sendable {
    private var object: Object?

    init(_ object: Object) { self.object = object }

    /// The object. Called once, by the receiving thread.
    func take() -> Object {
        guard let taken = object else { preconditionFailure("an object was handed over twice") }
        object = nil
        return taken
    }
}
