/// Which peers may have something that we lack, judged by the digests that ride on probes.
///
/// A peer whose digest is one that we had ourselves a moment ago is merely behind us: what it knows, we know. The same holds
/// for a digest that a session has shown to hold nothing for us. So an idle cluster, and one with few writers, opens no
/// sessions for nothing.
struct DigestBook: Sendable {
    struct Difference: Hashable, Sendable {
        var actor: ActorID
        var digest: Fingerprint
        /// Since when this peer has been known to have something that we lack.
        var since: Instant
    }

    /// Peers that are remembered as different. More do not help: any of them leads us on.
    static let differencesLimit = 64
    /// Digests that are remembered as holding nothing for us.
    static let coveredLimit = 512

    private(set) var differences: [Difference] = []
    private var covered: Set<Fingerprint> = []
    private var order = Queue<Fingerprint>()

    init(own: Fingerprint) { cover(own) }

    /// Everything with this digest is ours too: it is, or was, our own digest, or a session found nothing.
    mutating func cover(_ digest: Fingerprint) {
        guard covered.insert(digest).inserted else { return }
        order.append(digest)
        if order.count > Self.coveredLimit, let oldest = order.popFirst() { covered.remove(oldest) }
    }

    /// True when a peer with this digest has nothing for us. The empty ledger never has.
    func covers(_ digest: Fingerprint) -> Bool { digest == .zero || covered.contains(digest) }

    /// Takes note of a peer's digest. Returns the difference that stands now, if any.
    mutating func heard(_ digest: Fingerprint, from actor: ActorID, now: Instant) -> Difference? {
        let index = differences.firstIndex { $0.actor == actor }
        guard !covers(digest) else {
            if let index { differences.remove(at: index) }
            return nil
        }
        guard let index else {
            // The oldest gives way: it had its chance.
            if differences.count >= Self.differencesLimit { differences.removeFirst() }
            let difference = Difference(actor: actor, digest: digest, since: now)
            differences.append(difference)
            return difference
        }
        // While one difference follows another without a moment of agreement, the first one's time counts: under constant
        // writes every digest is new, and something may be missing all along.
        if covers(differences[index].digest) { differences[index].since = now }
        differences[index].digest = digest
        return differences[index]
    }

    mutating func forget(_ actor: ActorID) { differences.removeAll { $0.actor == actor } }

    /// Drops differences that have been made good meanwhile, and those of members that are gone.
    mutating func prune(members: MemberTable) {
        differences = differences.filter { !covers($0.digest) && members.memberIndex(of: $0.actor) != nil }
    }
}
