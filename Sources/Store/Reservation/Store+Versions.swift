import PatinaProtocol

/// The numbers of our own versions.
extension Store {
    /// The number of the next own version. Above every one that we know of ourselves, whoever told us, and within what is reserved.
    ///
    /// Called in a write transaction, right before its COMMIT. Costs a comparison; once in `VersionReservation.block` versions a small
    /// synced write. Throws when that fails.
    func nextVersion() throws(StoreError) -> UInt64 {
        let version = max(versionFloor, ledger.head(of: actor)) + 1
        guard version <= Bookkeeping.lastVersion else { throw .tooLarge(message: "the actor's version numbers are used up") }
        if version > reservedVersions, let reservation {
            let raised = version + VersionReservation.block - 1
            try reservation.write(VersionReservation(actor: actor, generation: generation, versions: raised))
            reservedVersions = raised
        }
        lastVersionTaken = version
        return version
    }

    /// A COMMIT has failed. Its frames may be in the log all the same, and come back after a power loss: the number is used up.
    func burnVersion() { versionFloor = max(versionFloor, lastVersionTaken) }

    /// At a clean end nothing is reserved any more that was not given out.
    func releaseVersions() {
        guard let reservation, failure == nil else { return }
        let used = max(versionFloor, ledger.head(of: actor))
        // Best effort: what stays reserved is a gap in the numbers, nothing else.
        try? reservation.write(VersionReservation(actor: actor, generation: generation, versions: used))
    }
}
