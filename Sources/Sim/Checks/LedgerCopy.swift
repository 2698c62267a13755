import PatinaProtocol
import PatinaStore

/// The checker `ledger-matches-store`.
///
/// Verified at the end of a run: what a node believes to have is what its store has, unless an operation is under way. Not
/// verified: the same in between, when answers of the store are on their way.
enum LedgerCopy {
    static func difference(_ node: borrowing Node, _ store: Store) -> String? {
        guard node.status.storeOperations == 0, node.digest != store.ledger.fingerprint else { return nil }
        for actor in node.ledger.actors {
            let (believed, stored) = (node.ledger[actor]?.complete ?? IntervalSet(), store.ledger[actor]?.complete ?? IntervalSet())
            if believed != stored { return "it believes in versions \(believed) of \(actor), its store has \(stored)" }
        }
        return "its store knows what it does not"
    }
}
