/// Everybody whom a node remembers, itself included: one entry each, in a place that stays the same for as long as the member is
/// remembered. As a collection it is the *present* members in ascending order of actor, which is what trees are computed from.
///
/// A cluster of n nodes holds n² of these entries, and a simulation has all of them in one process. Hence the layout: what is known of a
/// member is there once, and everything else (the order of the actors, the index by actor, the order of probes, pending news) holds
/// places of four bytes. So a newcomer moves four bytes for each member behind it and not a record.
struct MemberTable: Sendable {
    typealias Place = UInt32

    /// The place of the node itself.
    static let own: Place = 0

    struct Entry: Sendable {
        var record: MemberRecord
        var state: Member.State
        var roundTrip = RoundTripEstimate()
        var incarnation: UInt64
        /// When the member came to be present, or to be gone.
        var since: Instant
    }

    private var entries: [Entry]
    /// Places that nobody has at present.
    private var free: [Place] = []
    /// The present members, in ascending order of actor.
    private var present: [Place]
    /// The members that are down or left, in ascending order of actor.
    private(set) var departed: [Place] = []
    /// Places plus one, found by hash of the actor with linear probing; 0 where there is none. At most two thirds are taken.
    private var index: [UInt32]

    init(own record: MemberRecord) {
        entries = [Entry(record: record, state: .alive, incarnation: 0, since: .zero)]
        present = [MemberTable.own]
        index = Array(repeating: 0, count: 8)
        enter(MemberTable.own)
    }

    /// Members that are remembered, present or not, the node itself included.
    var remembered: Int { entries.count - free.count }

    // MARK: Looking up

    /// The place of an actor; nil when it is not remembered.
    func place(of actor: ActorID) -> Place? {
        let mask = index.count - 1
        var slot = MemberTable.hash(actor) & mask
        while index[slot] != 0 {
            let place = index[slot] - 1
            if entries[Int(place)].record.actor == actor { return place }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// The places of the members that claims are about; nil for those that are not remembered.
    ///
    /// A large table does not lie in a processor's cache. All looks at the index, and then all looks at the entries, come one behind the
    /// other and do not depend on each other: so the memory answers many of them at a time.
    func places(of claims: [MemberClaim]) -> [Place?] {
        let mask = index.count - 1
        var slots = [UInt32](repeating: 0, count: claims.count)
        for position in claims.indices { slots[position] = index[MemberTable.hash(claims[position].record.actor) & mask] }
        return claims.indices.map { position in
            let (slot, actor) = (slots[position], claims[position].record.actor)
            if slot == 0 { return nil }
            return entries[Int(slot - 1)].record.actor == actor ? slot - 1 : place(of: actor)
        }
    }

    /// What is known of the member in a place that is taken.
    subscript(place: Place) -> Entry {
        get { entries[Int(place)] }
        _modify { yield &entries[Int(place)] }
    }

    /// The place of the present member at `position` in ascending order of actor.
    func place(at position: Int) -> Place { present[position] }

    /// Where a present member stands in ascending order of actor; nil when the actor is not a present member.
    func memberIndex(of actor: ActorID) -> Int? {
        let position = insertion(of: actor, in: present)
        return position < present.count && entries[Int(present[position])].record.actor == actor ? position : nil
    }

    /// Where `actor` stands among the present members, or would be inserted.
    func insertionIndex(of actor: ActorID) -> Int { insertion(of: actor, in: present) }

    /// The record of a present member.
    func member(_ actor: ActorID) -> MemberRecord? {
        guard let place = place(of: actor), entries[Int(place)].state.isPresent else { return nil }
        return entries[Int(place)].record
    }

    // MARK: Changing

    /// Takes in a member that is not remembered, and present.
    mutating func insert(_ entry: Entry) -> Place {
        let place: Place
        if let reused = free.popLast() {
            place = reused
            entries[Int(place)] = entry
        } else {
            MemberTable.makeRoom(&entries)
            place = Place(entries.count)
            entries.append(entry)
        }
        MemberTable.makeRoom(&present)
        present.insert(place, at: insertion(of: entry.record.actor, in: present))
        if 3 * remembered > 2 * index.count { rebuildIndex(count: 2 * index.count) } else { enter(place) }
        return place
    }

    /// Moves a member from those that are gone to the present ones, or the other way. Its entry has the new state already.
    mutating func moved(_ place: Place) {
        let actor = entries[Int(place)].record.actor
        if entries[Int(place)].state.isPresent {
            departed.remove(at: insertion(of: actor, in: departed))
            present.insert(place, at: insertion(of: actor, in: present))
        } else {
            present.remove(at: insertion(of: actor, in: present))
            departed.insert(place, at: insertion(of: actor, in: departed))
        }
    }

    /// Forgets those of the departed that `isOver` says so of, and returns their places, which are free from now on.
    mutating func forget(where isOver: (Entry) -> Bool) -> [Place] {
        let forgotten = departed.filter { isOver(entries[Int($0)]) }
        guard !forgotten.isEmpty else { return [] }
        departed.removeAll { isOver(entries[Int($0)]) }
        free += forgotten
        rebuildIndex(count: index.count)
        return forgotten
    }

    // MARK: The index

    private static func hash(_ actor: ActorID) -> Int { Int(truncatingIfNeeded: mixed(actor.high ^ actor.low.rotated(by: 32))) }

    private mutating func enter(_ place: Place) {
        let mask = index.count - 1
        var slot = MemberTable.hash(entries[Int(place)].record.actor) & mask
        while index[slot] != 0 { slot = (slot + 1) & mask }
        index[slot] = place + 1
    }

    /// `count` is a power of two.
    private mutating func rebuildIndex(count: Int) {
        index = Array(repeating: 0, count: count)
        for place in present { enter(place) }
        for place in departed { enter(place) }
    }

    /// Actors are drawn at random, so that their order tells about where to look: the first steps guess, the others halve.
    private func insertion(of actor: ActorID, in places: [Place]) -> Int {
        var (low, high) = (0, places.count)
        guard high > 64 else { return insertion(of: actor, in: places, from: low, to: high) }
        // The first words between which that of the actor lies.
        var (below, above): (UInt64, UInt64) = (0, .max)
        for _ in 0..<4 where high - low > 8 && above > below {
            // As far into what is left of the list as the actor is between the two. No more than the whole of it, so nothing overflows.
            let share = (actor.high - below).multipliedFullWidth(by: UInt64(high - low))
            let middle = Swift.min(low + Int((above - below).dividingFullWidth(share).quotient), high - 1)
            let found = entries[Int(places[middle])].record.actor
            if found < actor {
                (low, below) = (middle + 1, found.high)
            } else {
                (high, above) = (middle, found.high)
            }
        }
        return insertion(of: actor, in: places, from: low, to: high)
    }

    private func insertion(of actor: ActorID, in places: [Place], from first: Int, to last: Int) -> Int {
        var (low, high) = (first, last)
        while low < high {
            let middle = (low + high) / 2
            if entries[Int(places[middle])].record.actor < actor { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Grows an array by a quarter instead of doubling it.
    private static func makeRoom<Element>(_ array: inout [Element]) {
        if array.count == array.capacity { array.reserveCapacity(array.count + Swift.max(8, array.count / 4)) }
    }

    /// Traps when the parts contradict each other. Costs the whole table.
    func checkInvariants() {
        precondition(present.count + departed.count == remembered, "every remembered member is present or departed")
        for (places, isPresent) in [(present, true), (departed, false)] {
            for (position, place) in places.enumerated() {
                let entry = entries[Int(place)]
                precondition(entry.state.isPresent == isPresent || place == MemberTable.own, "a member is present and departed at once")
                precondition(self.place(of: entry.record.actor) == place, "the index does not lead to a member")
                guard position > 0 else { continue }
                precondition(entries[Int(places[position - 1])].record.actor < entry.record.actor, "the members are not in order")
            }
        }
    }
}

extension MemberTable: RandomAccessCollection {
    var startIndex: Int { 0 }
    var endIndex: Int { present.count }
    subscript(position: Int) -> MemberRecord { entries[Int(present[position])].record }
}
