/// A look at a node from outside, for the admin socket and for reports.
public struct NodeStatus: Hashable, Sendable {
    /// Chunks that wait for the store or are in its hands, and their bytes.
    public var pendingChunks: Int
    public var pendingBytes: Int
    /// Store operations that are not answered.
    public var storeOperations: Int
    /// Chunks that are kept to answer grafts, and their bytes.
    public var cachedChunks: Int
    public var cachedBytes: Int
    /// Chunks that were announced and have not come.
    public var missingChunks: Int
    public var ownSessions: Int
    public var servedSessions: Int
    /// Peers that are known to have something that this node lacks.
    public var differingPeers: Int
    /// Alive and suspected members, this node included.
    public var aliveMembers: Int
    public var digest: Fingerprint
}

extension Node {
    /// Digest of everything that is known here; equal digests mean equal contents.
    public var digest: Fingerprint { ledger.fingerprint }

    public var status: NodeStatus {
        NodeStatus(
            pendingChunks: intake.count, pendingBytes: intake.bytes, storeOperations: operations.count, cachedChunks: broadcast.cache.count,
            cachedBytes: broadcast.cache.bytes, missingChunks: broadcast.missing.count, ownSessions: sync.own.count,
            servedSessions: sync.served.count, differingPeers: sync.book.differences.count, aliveMembers: membership.members.count,
            digest: ledger.fingerprint)
    }

    /// Traps with a sentence when a state that must never occur has occurred. Costs little: for after every event.
    public func checkInvariants() {
        membership.checkInvariants()
        broadcast.checkInvariants()
        sync.checkInvariants()
        intake.checkInvariants()
        let isLate = configuration.chaos.isOn
        precondition(isLate || membership.digest == ledger.fingerprint, "peers are told the digest of the present ledger")
        precondition(intake.operations <= max(1, configuration.applyOperations), "the store has no more batches than configured")
        precondition(isLate || !intake.hasWaiting || intake.operations > 0, "nothing waits while the store's hands are free")
    }

    /// As `checkInvariants()`, and recomputes the whole ledger: for the end of a run.
    public func checkThoroughly() {
        checkInvariants()
        ledger.checkInvariants()
    }
}
