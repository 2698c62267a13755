import PatinaProtocol

/// The simulator's own record of which version number was given to which transaction, kept outside of the stores: what
/// `never = "version-reused"` is about.
///
/// Two transactions with one (actor, version) are a violation even if they wrote the same. Seen are the transactions that a store has
/// committed and acknowledged, on disks that lose data too; a transaction whose commit failed was given to nobody.
struct VersionRegister {
    private struct Key: Hashable {
        let actor: ActorID
        let version: UInt64
    }

    /// Looked up by key only.
    private var given: [Key: Instant] = [:]

    /// Takes note of a transaction. Returns what is wrong with its number; nil when nobody had it.
    mutating func record(_ actor: ActorID, _ version: UInt64, at now: Instant) -> String? {
        guard let earlier = given.updateValue(now, forKey: Key(actor: actor, version: version)) else { return nil }
        return "\(actor)/\(version) was given to a transaction at \(earlier) already"
    }
}
