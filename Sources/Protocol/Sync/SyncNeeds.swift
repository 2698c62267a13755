/// What is left to ask of one server, and the order in which it is asked.
///
/// Newest first within an actor, because the newest versions are what readers want and what overwrites the older ones; in
/// blocks, one actor after the other, so that an actor with a long history does not hold up the rest. Nothing is asked twice
/// in a session: what a server does not have after all, or what the store refuses, is left to a later session.
struct SyncNeeds: Sendable {
    /// Versions that no further request may name: asked from another server, or received and not yet applied.
    struct Reserved: Sendable {
        var wants: [ReadRequest.Want] = []
    }

    private var actors: [ActorNeeds]
    /// Whose turn it is.
    private var turn = 0
    /// Wants that were cut off, by the bound of a request or by the server's byte limit: first in line.
    private var putBack: [ReadRequest.Want] = []
    private let blockVersions: UInt64

    init(_ needs: [ActorNeeds], blockVersions: UInt64) {
        actors = needs.filter { !$0.isEmpty }
        self.blockVersions = max(1, blockVersions)
    }

    var isEmpty: Bool { actors.isEmpty && putBack.isEmpty }

    /// How many versions there are to ask for, whole or in part; saturates.
    var versions: UInt64 {
        actors.reduce(0) { sum, actor in
            let (total, overflow) = sum.addingReportingOverflow(actor.versions.count)
            return overflow ? .max : max(total, total &+ UInt64(actor.pieces.count))
        }
    }

    /// What of `wants` a server had to leave over is asked first next time.
    mutating func putBack(_ wants: [ReadRequest.Want]) { putBack = wants + putBack }

    /// Takes the next wants, at most `limit`, without what is known or reserved by now. Empty only when nothing is left.
    mutating func take(limit: Int, ledger: VersionLedger, reserved: Reserved) -> [ReadRequest.Want] {
        var wants: [ReadRequest.Want] = []
        let waiting = putBack
        putBack = []
        for want in waiting { append(want, to: &wants, limit: limit, ledger: ledger, reserved: reserved) }
        while wants.count < limit, let want = nextBlock(ledger) {
            append(want, to: &wants, limit: limit, ledger: ledger, reserved: reserved)
        }
        return wants
    }

    /// The newest block of the actor whose turn it is.
    private mutating func nextBlock(_ ledger: VersionLedger) -> ReadRequest.Want? {
        while !actors.isEmpty {
            if turn >= actors.count { turn = 0 }
            actors[turn].dropKnownTail(ledger)
            guard let want = actors[turn].popNewest(blockVersions) else {
                actors.remove(at: turn)
                continue
            }
            turn += 1
            return want
        }
        return nil
    }

    private mutating func append(
        _ want: ReadRequest.Want, to wants: inout [ReadRequest.Want], limit: Int, ledger: VersionLedger, reserved: Reserved
    ) {
        for piece in want.without(ledger).without(reserved) {
            if wants.count < limit { wants.append(piece) } else { putBack.append(piece) }
        }
    }
}

extension ActorNeeds {
    /// Drops from the newest end what came meanwhile, range by range, however long the ranges are.
    fileprivate mutating func dropKnownTail(_ ledger: VersionLedger) {
        guard let entry = ledger[actor] else { return }
        while let newest = versions.ranges.last {
            let end = entry.incomplete(in: newest).max
            guard end != newest.upperBound else { return }
            versions.remove((end.map { $0 + 1 } ?? newest.lowerBound)...newest.upperBound)
        }
    }

    /// Takes the newest piece, or the newest versions up to `limit`; nil when nothing is left.
    fileprivate mutating func popNewest(_ limit: UInt64) -> ReadRequest.Want? {
        let newest = versions.ranges.last
        if let piece = pieces.last, piece.version > newest?.upperBound ?? 0 {
            pieces.removeLast()
            return .sequences(actor, version: piece.version, piece.sequences)
        }
        guard let newest else { return nil }
        let length = newest.upperBound - newest.lowerBound
        let block = (length < limit ? newest.lowerBound : newest.upperBound - (limit - 1))...newest.upperBound
        versions.remove(block)
        return .versions(actor, block)
    }
}

extension ReadRequest.Want {
    var actor: ActorID {
        switch self {
        case .versions(let actor, _), .sequences(let actor, _, _): actor
        }
    }

    /// The versions that it is about.
    var versions: ClosedRange<UInt64> {
        switch self {
        case .versions(_, let versions): versions
        case .sequences(_, let version, _): version...version
        }
    }

    /// What of the want is not on disk.
    fileprivate func without(_ ledger: VersionLedger) -> [Self] {
        guard let entry = ledger[actor] else { return [self] }
        switch self {
        case .versions(let actor, let versions):
            // Newest first here too.
            return entry.incomplete(in: versions).ranges.reversed().map { .versions(actor, $0) }
        case .sequences(let actor, let version, let sequences):
            guard !entry.isComplete(version) else { return [] }
            guard let partial = entry.partials[version] else { return [self] }
            let missing = sequences.subtracting(partial.received)
            return missing.isEmpty ? [] : [.sequences(actor, version: version, missing)]
        }
    }

    /// What of the want both sides mean; empty when they are about different things.
    func intersection(_ other: Self) -> [Self] {
        guard actor == other.actor, versions.overlaps(other.versions) else { return [] }
        switch (self, other) {
        case (.versions(let actor, let left), .versions(_, let right)):
            return [.versions(actor, left.clamped(to: right))]
        case (.sequences, .versions): return [self]
        case (.versions, .sequences): return [other]
        case (.sequences(let actor, let version, let left), .sequences(_, _, let right)):
            let both = left.intersection(right)
            return both.isEmpty ? [] : [.sequences(actor, version: version, both)]
        }
    }
}

extension [ReadRequest.Want] {
    /// The wants without every version that is reserved, even in part.
    fileprivate func without(_ reserved: SyncNeeds.Reserved) -> [ReadRequest.Want] {
        guard !reserved.wants.isEmpty else { return self }
        return flatMap { want -> [ReadRequest.Want] in
            let taken = reserved.wants.filter { $0.actor == want.actor && $0.versions.overlaps(want.versions) }
            guard !taken.isEmpty else { return [want] }
            switch want {
            case .sequences: return []
            case .versions(let actor, let versions):
                var rest = IntervalSet(versions)
                for other in taken { rest.remove(other.versions) }
                return rest.ranges.reversed().map { .versions(actor, $0) }
            }
        }
    }

    /// The wants without every version that `others` mention, even in part.
    func leavingOut(_ others: [ReadRequest.Want]) -> [ReadRequest.Want] {
        others.isEmpty ? self : without(SyncNeeds.Reserved(wants: others))
    }

    /// What of `others` lies within these wants: an answer may only speak of what was asked.
    func restricting(_ others: [ReadRequest.Want]) -> [ReadRequest.Want] {
        others.flatMap { other in flatMap { $0.intersection(other) } }
    }

    /// What of `empties` lies within the versions of these wants.
    func restricting(_ empties: EmptyVersions) -> [EmptyVersions] {
        filter { $0.actor == empties.actor && $0.versions.overlaps(empties.versions) }
            .map { EmptyVersions(actor: empties.actor, versions: $0.versions.clamped(to: empties.versions)) }
    }
}
