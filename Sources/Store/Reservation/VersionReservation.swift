import PatinaProtocol

/// The promise that no version number of an actor above `versions` was ever given out, kept beside the database.
///
/// A power loss under `synchronous = normal` takes back commits that peers have seen, and a backup knows nothing of what was written
/// after it. The database alone would then give out the same numbers again. The reservation is raised, durably, before any number beyond
/// it is used; whatever happens to the database, the next number is above it. `docs/crdt.md` has the whole argument.
struct VersionReservation: Hashable, Sendable {
    var actor: ActorID
    /// The generation of the database that wrote it. Never smaller than the generation in the database it belongs to.
    var generation: UInt64
    /// No higher version of the actor was given out.
    var versions: UInt64

    /// How many versions are reserved at once: one small synced write for so many transactions.
    static let block: UInt64 = 4_096
}

/// Where the version numbers of an opened database go on, and its generation.
struct VersionPlan: Hashable, Sendable {
    /// Numbers up to this one are not given out.
    var floor: UInt64
    /// How often the database was opened, this time included; never smaller than what peers may have seen of the actor.
    var generation: UInt64
    /// The reservation did not vouch for the database, so that the floor comes from the wall clock.
    var isFromClock: Bool

    /// What is known when a database is opened.
    struct Facts {
        var actor: ActorID
        /// As in the database; 0 in a new one.
        var generation: UInt64
        /// The highest own version that the database knows of.
        var head: UInt64
        /// When the newest of our own versions in the database was written, in nanoseconds since 1970; nil when there is none.
        var newest: Int64?
        /// The database was brought back from a backup, and says so.
        var isRestored: Bool
        /// The system's clock, in nanoseconds since 1970.
        var wall: Int64
    }

    /// Works out the plan.
    ///
    /// The reservation vouches for every number when it is whole, of the same actor, and not older than the database: it is written
    /// before the database counts an opening. Otherwise somebody has moved files, and only the time that has passed bounds how many
    /// numbers were used meanwhile.
    ///
    /// - Parameter found: nil when there is no file. A damaged copy may have been the newer one, so a file with one vouches for nothing.
    init(_ facts: Facts, found: ReservationFile.Content?) {
        let known = found?.record.flatMap { $0.actor == facts.actor ? $0 : nil }
        floor = max(facts.head, known?.versions ?? 0)
        generation = max(facts.generation, known?.generation ?? 0) + 1
        let isNew = facts.generation == 0 && !facts.isRestored && (known == nil || found?.isDamaged == false)
        let isVouchedFor = known.map { found?.isDamaged == false && $0.generation >= facts.generation } ?? false
        isFromClock = facts.isRestored || !(isNew || isVouchedFor)
        guard isFromClock else { return }
        floor = max(floor, Self.clockFloor(facts))
        let seconds = max(0, facts.wall - Self.dateNanoseconds) / 1_000_000_000
        generation = max(generation, UInt64(seconds))
    }

    /// Without a reservation, as in memory, the database alone says where to go on.
    init(unreserved facts: Facts) {
        floor = facts.head
        generation = facts.generation + 1
        isFromClock = false
    }

    /// 2025-01-01T00:00:00Z: version numbers from the clock are milliseconds since then.
    static let dateNanoseconds: Int64 = 1_735_689_600_000_000_000
    /// Versions a millisecond that an actor may have made since the backup.
    static let versionsPerMillisecond: UInt64 = 16

    /// A number that no version has that was made by now, if one of two assumptions holds: the actor has made at most 1,000 versions a
    /// second on average since the date above, or at most 16,000 a second since the newest version that is in the
    /// database; and the clock is not behind.
    private static func clockFloor(_ facts: Facts) -> UInt64 {
        let byAge = UInt64(max(0, facts.wall - dateNanoseconds) / 1_000_000)
        guard let newest = facts.newest else { return min(byAge, Bookkeeping.lastVersion / 2) }
        let elapsed = UInt64(max(0, facts.wall - newest) / 1_000_000)
        // Bounded, so that a clock that has gone mad leaves numbers to go on with.
        return min(max(byAge, facts.head + elapsed * versionsPerMillisecond), max(facts.head, Bookkeeping.lastVersion / 2))
    }
}
