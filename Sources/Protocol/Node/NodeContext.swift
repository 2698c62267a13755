/// What the machines of a node may know of each other, at the moment of an event.
///
/// Handed to every call instead of being kept, so that no machine has a copy that can grow stale.
struct NodeContext {
    /// As a collection: alive and suspected members, this node included, ascending by actor.
    var members: MemberTable
    var ledger: VersionLedger
    var intake: Intake

    /// True for a chunk that is on disk or on its way there.
    func isKnown(_ id: ChunkID) -> Bool { ledger.contains(id) || intake.contains(id) }

    /// The member of that actor, if it is alive or suspected.
    func member(_ actor: ActorID) -> MemberRecord? { members.member(actor) }
}
