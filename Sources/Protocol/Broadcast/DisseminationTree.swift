/// The two trees of one origin, computed from the sorted members alone: no state for a link, no message to build them.
///
/// The members are seen as a ring in ascending order of actor, turned so that the origin stands at position 0. In the
/// eager tree the children of position `p` are `k*p + 1 ... k*p + k`, as in a heap. The lazy tree is the same heap over
/// the ring turned the other way, so that the few inner nodes of one tree are leaves of the other (for k >= 3): a node
/// whose eager parent is dead still hears announcements from somebody else. Every origin turns the ring differently, so
/// over all origins everybody carries the same load.
///
/// An origin that is not among the members is taken to stand where it would be sorted in. So nodes that have not heard of
/// it yet, or have given it up already, compute the same trees as those who know it.
///
/// Source: two trees with lazy repair follow Plumtree (Leitao et al., 2007); computing them from full membership instead
/// of learning them is our deviation, because every node is a source and one learnt tree serves one source well.
struct DisseminationTree: Sendable {
    private let members: MemberTable
    private let fanout: Int
    /// Index in `members` of ring position 1.
    private let first: Int
    /// Ring positions, the origin's included.
    private let count: Int
    /// This node's position; 0 when it is the origin.
    let position: Int

    /// - Parameters:
    ///   - members: the present ones count.
    ///   - own: index of this node in `members`.
    init(members: MemberTable, own: Int, origin: ActorID, fanout: Int) {
        let insertion = members.insertionIndex(of: origin)
        let isMember = insertion < members.count && members[insertion].actor == origin
        self.members = members
        self.fanout = max(1, fanout)
        first = isMember ? insertion + 1 : insertion
        count = isMember ? members.count : members.count + 1
        if isMember, own == insertion {
            position = 0
        } else {
            // `first` is one past the end when the origin is the greatest actor.
            position = (own - first + 2 * members.count) % members.count + 1
        }
    }

    /// Positions of the children in the eager tree; empty for a leaf.
    var eagerPositions: Range<Int> { children(of: position) }
    /// Positions of the children in the lazy tree, counted along the reversed ring; empty for a leaf.
    var lazyPositions: Range<Int> { children(of: position == 0 ? 0 : count - position) }

    func eagerChild(_ position: Int) -> MemberRecord { member(at: position) }
    func lazyChild(_ position: Int) -> MemberRecord { member(at: count - position) }

    private func children(of position: Int) -> Range<Int> {
        let start = min(fanout * position + 1, count)
        return start..<min(start + fanout, count)
    }

    private func member(at position: Int) -> MemberRecord { members[(first + position - 1) % members.count] }
}
