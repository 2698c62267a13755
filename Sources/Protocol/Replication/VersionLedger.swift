import OrderedCollections

/// What a node knows of every actor's versions: which are complete, which are there in part, which are missing.
///
/// The store keeps the authoritative copy and changes it in the transaction that changes the rows; the node keeps a
/// copy in memory and applies the same `LedgerChange`s once the store has committed them. A version is *complete* when
/// its rows were merged (or it is known to be empty), *partial* when some of its chunks are buffered on disk.
public struct VersionLedger: Hashable, Sendable {
    /// Kept sorted by actor, so that iteration is the same everywhere.
    private var entries: [ActorID: Entry] = [:]
    private var order: [ActorID] = []
    /// Digest of everything known; equal ledgers have equal fingerprints.
    public private(set) var fingerprint = Fingerprint.zero

    public init() {}

    public struct Entry: Hashable, Sendable {
        public fileprivate(set) var complete = IntervalSet()
        /// Versions that are buffered in part, by version.
        public fileprivate(set) var partials: OrderedDictionary<UInt64, Partial> = [:]

        /// The highest version of which anything is known; 0 when nothing is.
        public var head: UInt64 { max(complete.max ?? 0, partials.keys.last ?? 0) }

        /// Versions below the head of which nothing is known.
        public var gaps: IntervalSet {
            guard head > 0 else { return IntervalSet() }
            var result = complete.gaps(in: 1...head)
            for version in partials.keys { result.remove(version...version) }
            return result
        }
    }

    public struct Partial: Hashable, Sendable {
        public var received: IntervalSet
        public var lastSequence: UInt64
        public var missing: IntervalSet { received.gaps(in: 0...lastSequence) }
    }

    /// Actors of which anything is known, in ascending order.
    public var actors: [ActorID] { order }

    public subscript(actor: ActorID) -> Entry? { entries[actor] }

    /// The highest known version of `actor`; 0 when nothing is known.
    public func head(of actor: ActorID) -> UInt64 { entries[actor]?.head ?? 0 }

    /// True when everything in the chunk is already on disk.
    public func contains(_ chunk: ChunkID) -> Bool {
        guard let entry = entries[chunk.actor] else { return false }
        if entry.complete.contains(chunk.version) { return true }
        return entry.partials[chunk.version]?.received.contains(chunk.sequences) ?? false
    }

    public mutating func apply(_ change: LedgerChange) {
        switch change {
        case .completed(let actor, let versions):
            update(actor) { entry in
                entry.complete.insert(versions)
                entry.partials.removeAll { versions.contains($0.key) }
            }
        case .buffered(let chunk):
            update(chunk.actor) { entry in
                guard !entry.complete.contains(chunk.version) else { return }
                if entry.partials[chunk.version] == nil {
                    let index = entry.partials.keys.firstIndex { $0 > chunk.version } ?? entry.partials.count
                    entry.partials.updateValue(
                        Partial(received: IntervalSet(), lastSequence: chunk.lastSequence), forKey: chunk.version, insertingAt: index)
                }
                entry.partials[chunk.version]?.received.insert(chunk.sequences)
            }
        }
    }

    private mutating func update(_ actor: ActorID, _ change: (inout Entry) -> Void) {
        var entry: Entry
        if let known = entries.removeValue(forKey: actor) {
            entry = known
            fingerprint -= Self.fingerprint(of: actor, entry)
        } else {
            entry = Entry()
            let index = order.firstIndex { $0 > actor } ?? order.count
            order.insert(actor, at: index)
        }
        change(&entry)
        fingerprint += Self.fingerprint(of: actor, entry)
        entries[actor] = entry
    }

    private static func fingerprint(of actor: ActorID, _ entry: Entry) -> Fingerprint {
        var hasher = Fingerprint.Hasher(seed: 0x6C65_6467_6572)
        hasher.combine(actor)
        for range in entry.complete.ranges {
            hasher.combine(range.lowerBound)
            hasher.combine(range.upperBound)
        }
        for (version, partial) in entry.partials {
            hasher.combine(version)
            hasher.combine(partial.lastSequence)
            for range in partial.received.ranges {
                hasher.combine(range.lowerBound)
                hasher.combine(range.upperBound)
            }
        }
        return hasher.finish()
    }
}

/// One step of a ledger, reported by the store after the transaction that made it true.
public enum LedgerChange: Hashable, Sendable {
    /// All of these versions are merged, or known to be empty.
    case completed(ActorID, versions: ClosedRange<UInt64>)
    /// These sequence numbers of an incomplete version are buffered.
    case buffered(ChunkID)
}
