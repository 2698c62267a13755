/// What a peer says that it knows of one actor.
struct ActorState: Hashable, Sendable {
    var actor: ActorID
    /// The highest version that it knows anything of; at least 1.
    var head: UInt64
    /// Versions below the head that it knows nothing of.
    var gaps = IntervalSet()
    /// Versions that it has in part, ascending.
    var partials: [PartialState] = []
}

struct PartialState: Hashable, Sendable {
    var version: UInt64
    var lastSequence: UInt64
    /// The sequence numbers that it lacks.
    var missing: IntervalSet
}

/// The part of a peer's ledger that differs from ours, ascending by actor.
struct PeerState: Hashable, Sendable {
    var actors: [ActorState] = []
}

/// What a peer can give us of one actor.
struct ActorNeeds: Hashable, Sendable {
    var actor: ActorID
    /// Versions of which we have nothing and the peer has all.
    var versions = IntervalSet()
    /// Pieces of versions, ascending by version.
    var pieces: [VersionPiece] = []

    var isEmpty: Bool { versions.isEmpty && pieces.isEmpty }
}

/// Sequence numbers of one version.
struct VersionPiece: Hashable, Sendable {
    var version: UInt64
    var sequences: IntervalSet
}

extension LedgerEntry {
    /// Gaps and partial versions that a state lists for one actor. Of a history with more holes than that only the newest part
    /// is told, as if nothing were known below: a peer that lacks the rest learns of it once the holes are fewer.
    private static let holesLimit = 4_096

    fileprivate func state(of actor: ActorID) -> ActorState {
        var state = ActorState(actor: actor, head: head, gaps: gaps)
        var told = partials.elements[...]
        if partials.count > Self.holesLimit {
            told = told.suffix(Self.holesLimit)
            if let oldest = told.first { state.gaps.insert(1...(oldest.key - 1)) }
        }
        if state.gaps.ranges.count > Self.holesLimit {
            state.gaps.insert(1...state.gaps.ranges[state.gaps.ranges.count - Self.holesLimit].upperBound)
        }
        for (version, partial) in told where !state.gaps.contains(version) {
            state.partials.append(PartialState(version: version, lastSequence: partial.lastSequence, missing: partial.missing))
        }
        return state
    }
}

extension VersionLedger {
    /// What we know of the actors whose bucket is chosen; the answer to a peer's greeting.
    func state(where isChosen: (_ bucket: Int) -> Bool) -> PeerState {
        var state = PeerState()
        for actor in actors where isChosen(Self.bucket(of: actor)) {
            guard let entry = self[actor] else { preconditionFailure("an actor of the ledger has an entry") }
            state.actors.append(entry.state(of: actor))
        }
        return state
    }

    /// What the peer has and we have not, ascending by actor. Costs nothing for actors of which we have everything.
    func needs(comparedTo peer: PeerState) -> [ActorNeeds] {
        peer.actors.compactMap { state in
            let needs = needs(comparedTo: state)
            return needs.isEmpty ? nil : needs
        }
    }

    private func needs(comparedTo peer: ActorState) -> ActorNeeds {
        var needs = ActorNeeds(actor: peer.actor)
        guard peer.head > 0 else { return needs }
        let entry = self[peer.actor]
        var lacking = entry?.incomplete(in: 1...peer.head) ?? IntervalSet(1...peer.head)
        guard !lacking.isEmpty else { return needs }

        lacking.remove(peer.gaps)
        for partial in peer.partials where lacking.contains(partial.version) {
            lacking.remove(partial.version...partial.version)
            var wanted = IntervalSet(0...partial.lastSequence).subtracting(partial.missing)
            if let ours = entry?.partials[partial.version] { wanted = wanted.intersection(ours.missing) }
            if !wanted.isEmpty { needs.pieces.append(VersionPiece(version: partial.version, sequences: wanted)) }
        }
        for (version, partial) in entry?.partials ?? [:] where lacking.contains(version) {
            lacking.remove(version...version)
            // Nothing missing: the store has all of it and will finish it without our help.
            if !partial.missing.isEmpty { needs.pieces.append(VersionPiece(version: version, sequences: partial.missing)) }
        }
        needs.pieces.sort { $0.version < $1.version }
        needs.versions = lacking
        return needs
    }
}
