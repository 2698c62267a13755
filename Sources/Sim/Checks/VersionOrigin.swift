import PatinaProtocol

/// The checker `no-version-from-nowhere`: causality in its weakest form, since versions of an actor may arrive in any order.
///
/// Verified: nobody knows a version of an actor that is higher than what this actor's own store has ever had; a store that is closed is
/// not asked. Not verified: the content of the versions; see `converged` and `no-acked-write-lost`.
enum VersionOrigin {
    static func problem(_ ledger: VersionLedger, hosts: [Host]) -> String? {
        for host in hosts {
            guard let store = host.process?.store else { continue }
            let (known, own) = (ledger.head(of: host.identity), store.ledger.head(of: host.identity))
            if known > own { return "knows version \(known) of node:\(host.index), which is at \(own)" }
        }
        return nil
    }
}
