import PatinaStore

/// Tells from what a checkpoint left why the log is long: a reader holds it back, which only the reader's end changes, or more is written
/// than the disk takes, which slower writes change.
///
/// Without the second, a log that is written faster than it is moved never begins anew: when all of it is moved, as much has come again.
struct LogPace: Sendable {
    /// What a checkpoint says about the log.
    enum Verdict: Equatable, Sendable {
        /// So little waits that the writer does the rest.
        case nearlyMoved
        /// Shorter than what is worth a word.
        case short
        /// Nothing could be moved since the last time.
        case heldByReader
        /// It is moved, but not fast enough. A writer that waits as long for each page as moving one takes falls behind the checkpoints.
        case outpaced(pause: Duration)
    }

    private let limitPages: Int
    /// Pages of the log that were in the database after the last checkpoint.
    private var movedPages = 0

    /// - Parameter limitPages: a shorter log is fine, whatever makes it long.
    init(limitPages: Int) { self.limitPages = limitPages }

    /// - Parameter took: how long the checkpoint took.
    mutating func judge(_ outcome: Checkpointer.Outcome, took: Duration) -> Verdict {
        let moved = outcome.logPages - outcome.waitingPages
        // Fewer than before: the log has begun anew in between.
        let progress = moved < movedPages ? moved : moved - movedPages
        movedPages = moved
        if outcome.isLeftToWriter { return .nearlyMoved }
        guard outcome.logPages >= limitPages else { return .short }
        return progress == 0 ? .heldByReader : .outpaced(pause: took / progress)
    }
}
