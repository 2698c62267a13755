import PatinaProtocol

/// The checker `no-duplicate-apply`.
///
/// Verified: a process says of no version twice that it became complete. Not verified: that the store merged its rows once only; merging
/// twice changes nothing, and nothing would show it.
struct AppliedOnce {
    private var seen: [Int: (life: Int, versions: [ActorID: IntervalSet])] = [:]

    /// Notes that a version became complete. True when it had become so before, in the same process.
    mutating func record(_ actor: ActorID, _ version: UInt64, at host: Int, life: Int) -> Bool {
        if seen[host]?.life != life { seen[host] = (life, [:]) }
        if seen[host]?.versions[actor]?.contains(version...version) == true { return true }
        seen[host]?.versions[actor, default: IntervalSet()].insert(version...version)
        return false
    }
}
