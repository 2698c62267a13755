import PatinaProtocol

/// Follows whether all live nodes get to know everything that any of them knew at one moment.
struct GoalTracker {
    let begun: Instant
    /// The union of what the live nodes knew, by actor in ascending order.
    private let target: [(actor: ActorID, versions: IntervalSet)]
    /// For each node how many entries of the target it is known to cover. What is known stays known, so a look goes on where the
    /// last one ended.
    private var covered: [Int]

    /// - Parameter ledgers: those of the live nodes.
    init(begun: Instant, nodes: Int, ledgers: [VersionLedger]) {
        self.begun = begun
        covered = Array(repeating: 0, count: nodes)
        var union: [ActorID: IntervalSet] = [:]
        var seen: Set<Fingerprint> = []
        for ledger in ledgers where seen.insert(ledger.fingerprint).inserted {
            for actor in ledger.actors {
                guard let complete = ledger[actor]?.complete, !complete.isEmpty else { continue }
                union[actor, default: IntervalSet()].insert(complete)
            }
        }
        target = union.keys.sorted().map { ($0, union[$0] ?? IntervalSet()) }
    }

    /// What the node still lacks; nil when it has everything.
    mutating func missing(at node: Int, _ ledger: VersionLedger) -> String? {
        while covered[node] < target.count {
            let (actor, versions) = target[covered[node]]
            let known = ledger[actor]?.complete ?? IntervalSet()
            guard versions.ranges.allSatisfy({ known.contains($0) }) else {
                return "\(versions.subtracting(known)) of \(actor)"
            }
            covered[node] += 1
        }
        return nil
    }
}
