import OrderedCollections

/// What a node knows of every actor's versions: which are complete, which are there in part, which are missing.
///
/// The store keeps the authoritative copy and changes it in the transaction that changes the rows; the node keeps a
/// copy in memory and applies the same `LedgerChange`s once the store has committed them. A version is *complete* when
/// its rows were merged (or it is known to be empty), *partial* when some of its chunks are buffered on disk.
///
/// An update costs what it touches, whatever else is known: the fingerprint is a sum over ranges, so only the ranges
/// that went and came are hashed.
public struct VersionLedger: Hashable, Sendable {
    /// Looked up by key only; `order` gives the iteration that is the same everywhere.
    private var entries: [ActorID: LedgerEntry] = [:]
    private var order: [ActorID] = []
    /// The fingerprint's low halves, summed up by bucket of actors. Empty until anything is known.
    private var buckets: [UInt64] = []
    /// Digest of everything known; equal ledgers have equal fingerprints.
    public private(set) var fingerprint = Fingerprint.zero

    public typealias Entry = LedgerEntry
    public typealias Partial = PartialVersion

    public init() {}

    /// Actors of which anything is known, in ascending order.
    public var actors: [ActorID] { order }

    public subscript(actor: ActorID) -> LedgerEntry? { entries[actor] }

    /// The highest known version of `actor`; 0 when nothing is known.
    public func head(of actor: ActorID) -> UInt64 { entries[actor]?.head ?? 0 }

    /// True when everything in the chunk is already on disk.
    public func contains(_ chunk: ChunkID) -> Bool {
        guard let entry = entries[chunk.actor] else { return false }
        if entry.isComplete(chunk.version) { return true }
        return entry.partials[chunk.version]?.received.contains(chunk.sequences) ?? false
    }

    /// True when the whole version is merged or known to be empty.
    public func isComplete(_ actor: ActorID, _ version: UInt64) -> Bool { entries[actor]?.isComplete(version) ?? false }

    /// Takes note of what the store has committed. Any range is accepted: version 0 does not exist and is left out, a
    /// chunk that contradicts what is buffered of its version is cut to fit. Returns false when nothing was new.
    @discardableResult
    public mutating func apply(_ change: LedgerChange) -> Bool {
        switch change {
        case .completed(let actor, let versions):
            guard versions.upperBound > 0 else { return false }
            let range = max(versions.lowerBound, 1)...versions.upperBound
            return update(actor) { $0.complete(range, of: actor) }
        case .buffered(let chunk):
            return update(chunk.actor) { $0.buffer(chunk) }
        }
    }

    private mutating func update(_ actor: ActorID, _ change: (inout LedgerEntry) -> Fingerprint) -> Bool {
        let count = entries.count
        let difference = change(&entries[actor, default: LedgerEntry()])
        if entries.count != count { order.insert(actor, at: order.partitioningIndex { $0 > actor }) }
        guard difference != .zero else { return false }
        fingerprint += difference
        if buckets.isEmpty { buckets = Array(repeating: 0, count: Self.bucketCount) }
        buckets[Self.bucket(of: actor)] &+= difference.low
        return true
    }

    // MARK: Buckets

    /// The finest division of the actors that digests are kept for.
    public static let bucketBits = 8
    static var bucketCount: Int { 1 << bucketBits }

    /// The bucket of an actor among `bucketCount`; with fewer bits it is the top bits of this number.
    static func bucket(of actor: ActorID) -> Int { Int(mixed(actor.high ^ actor.low.rotated(by: 32)) >> UInt64(64 - bucketBits)) }

    /// The digests of `1 << bits` buckets. Two nodes whose ledgers differ learn from them where to look.
    ///
    /// - Parameter bits: 0 to `bucketBits`.
    public func bucketDigests(bits: Int) -> [UInt64] {
        precondition((0...Self.bucketBits).contains(bits), "buckets are counted by 0 to \(Self.bucketBits) bits")
        var digests = Array(repeating: UInt64(0), count: 1 << bits)
        for (index, digest) in buckets.enumerated() { digests[index >> (Self.bucketBits - bits)] &+= digest }
        return digests
    }

    /// How many bits of buckets pay for themselves: about four actors a bucket.
    public var suitableBucketBits: Int {
        var bits = 0
        while bits < Self.bucketBits, order.count > 4 << bits { bits += 1 }
        return bits
    }

    // MARK: Invariants

    /// Traps when the parts that are kept up to date step by step differ from what they stand for. Costs the whole ledger.
    public func checkInvariants() {
        precondition(order.count == entries.count, "the ledger's order and entries have the same actors")
        var total = Fingerprint.zero
        var sums = Array(repeating: UInt64(0), count: Self.bucketCount)
        for (index, actor) in order.enumerated() {
            precondition(index == 0 || order[index - 1] < actor, "the ledger's actors ascend")
            guard let entry = entries[actor] else { preconditionFailure("an ordered actor has an entry") }
            entry.checkInvariants()
            let part = entry.fingerprint(of: actor)
            total += part
            sums[Self.bucket(of: actor)] &+= part.low
        }
        precondition(total == fingerprint, "the ledger's fingerprint is the sum over its ranges")
        precondition(buckets.isEmpty ? total == .zero : sums == buckets, "the ledger's buckets are sums over their actors")
    }
}

/// What is known of one actor's versions.
public struct LedgerEntry: Hashable, Sendable {
    /// All of `1...contiguous` are complete; 0 when version 1 is not. Nearly always the whole story, and free of allocations.
    public private(set) var contiguous: UInt64 = 0
    /// Complete versions above `contiguous + 1`.
    public private(set) var beyond = IntervalSet()
    /// Versions that are buffered in part, in ascending order.
    public private(set) var partials: OrderedDictionary<UInt64, PartialVersion> = [:]

    init() {}

    /// The complete versions.
    public var complete: IntervalSet {
        var result = beyond
        if contiguous > 0 { result.insert(1...contiguous) }
        return result
    }

    /// The highest version of which anything is known; 0 when nothing is.
    public var head: UInt64 { max(contiguous, beyond.max ?? 0, partials.keys.last ?? 0) }

    public func isComplete(_ version: UInt64) -> Bool { (version <= contiguous && version > 0) || beyond.contains(version) }

    /// The versions of `range` that are not complete.
    public func incomplete(in range: ClosedRange<UInt64>) -> IntervalSet {
        guard range.upperBound > contiguous else { return IntervalSet() }
        return beyond.gaps(in: max(range.lowerBound, contiguous + 1)...range.upperBound)
    }

    /// Versions below the head of which nothing is known.
    public var gaps: IntervalSet {
        let head = head
        guard head > contiguous else { return IntervalSet() }
        var result = beyond.gaps(in: (contiguous + 1)...head)
        for version in partials.keys { result.remove(version...version) }
        return result
    }

    /// Adds complete versions and returns what the fingerprint changes by. `versions` starts at 1 or later.
    fileprivate mutating func complete(_ versions: ClosedRange<UInt64>, of actor: ActorID) -> Fingerprint {
        guard versions.upperBound > contiguous else { return .zero }
        var difference = Fingerprint.zero
        if versions.lowerBound - 1 <= contiguous {
            if contiguous > 0 { difference -= Self.element(actor, 1...contiguous) }
            contiguous = versions.upperBound
            var absorbed = false
            for range in beyond.ranges {
                guard contiguous == .max || range.lowerBound <= contiguous + 1 else { break }
                difference -= Self.element(actor, range)
                contiguous = max(contiguous, range.upperBound)
                absorbed = true
            }
            if absorbed { beyond.remove(1...contiguous) }
            difference += Self.element(actor, 1...contiguous)
        } else {
            guard let merged = beyond.insert(versions, replacing: { difference -= Self.element(actor, $0) }) else { return .zero }
            difference += Self.element(actor, merged)
        }
        if !partials.isEmpty { difference -= removePartials(in: versions, of: actor) }
        return difference
    }

    private mutating func removePartials(in versions: ClosedRange<UInt64>, of actor: ActorID) -> Fingerprint {
        let start = partials.keys.partitioningIndex { $0 >= versions.lowerBound }
        var end = start
        var removed = Fingerprint.zero
        while end < partials.count, partials.keys[end] <= versions.upperBound {
            let partial = partials.values[end]
            for range in partial.received.ranges { removed += partial.element(actor, partials.keys[end], range) }
            end += 1
        }
        partials.removeSubrange(start..<end)
        return removed
    }

    /// Adds buffered sequence numbers and returns what the fingerprint changes by.
    fileprivate mutating func buffer(_ chunk: ChunkID) -> Fingerprint {
        guard !isComplete(chunk.version) else { return .zero }
        if partials[chunk.version] == nil {
            let partial = PartialVersion(received: IntervalSet(), lastSequence: chunk.lastSequence)
            let index = partials.keys.partitioningIndex { $0 > chunk.version }
            partials.updateValue(partial, forKey: chunk.version, insertingAt: index)
        }
        guard let index = partials.index(forKey: chunk.version) else { preconditionFailure("a partial was just inserted") }
        let partial = partials.values[index]
        guard chunk.sequences.lowerBound <= partial.lastSequence else { return .zero }
        let sequences = chunk.sequences.lowerBound...min(chunk.sequences.upperBound, partial.lastSequence)
        var difference = Fingerprint.zero
        let merged = partials.values[index].received.insert(
            sequences, replacing: { difference -= partial.element(chunk.actor, chunk.version, $0) })
        guard let merged else { return .zero }
        difference += partial.element(chunk.actor, chunk.version, merged)
        return difference
    }

    fileprivate func fingerprint(of actor: ActorID) -> Fingerprint {
        var total = Fingerprint.zero
        for range in complete.ranges { total += Self.element(actor, range) }
        for (version, partial) in partials {
            for range in partial.received.ranges { total += partial.element(actor, version, range) }
        }
        return total
    }

    /// The share of a range of complete versions in the fingerprint. No partial version is numbered 0, so the kinds never mix.
    private static func element(_ actor: ActorID, _ range: ClosedRange<UInt64>) -> Fingerprint { ledgerElement(actor, 0, 0, range) }

    fileprivate func checkInvariants() {
        precondition(beyond.min.map { $0 - 1 > contiguous } ?? true, "ranges that touch the contiguous versions belong to them")
        for (version, partial) in partials {
            precondition(version > 0 && !isComplete(version), "a version is complete or partial, not both")
            precondition(!partial.received.isEmpty, "something of a partial version is there")
            precondition(partial.received.max.map { $0 <= partial.lastSequence } ?? true, "a version ends at its last sequence number")
        }
        precondition(zip(partials.keys, partials.keys.dropFirst()).allSatisfy { $0 < $1 }, "partial versions ascend")
    }
}

/// A version of which some sequence numbers are buffered.
public struct PartialVersion: Hashable, Sendable {
    public internal(set) var received: IntervalSet
    public let lastSequence: UInt64

    /// The sequence numbers that are not there yet.
    public var missing: IntervalSet { received.gaps(in: 0...lastSequence) }

    fileprivate func element(_ actor: ActorID, _ version: UInt64, _ range: ClosedRange<UInt64>) -> Fingerprint {
        ledgerElement(actor, version, lastSequence, range)
    }
}

private func ledgerElement(_ actor: ActorID, _ version: UInt64, _ last: UInt64, _ range: ClosedRange<UInt64>) -> Fingerprint {
    var hasher = Fingerprint.Hasher(seed: 0x6C65_6467_6572)
    hasher.combine(actor)
    hasher.combine(version)
    hasher.combine(last)
    hasher.combine(range.lowerBound)
    hasher.combine(range.upperBound)
    return hasher.finish()
}

/// One step of a ledger, reported by the store after the transaction that made it true.
public enum LedgerChange: Hashable, Sendable {
    /// All of these versions are merged, or known to be empty.
    case completed(ActorID, versions: ClosedRange<UInt64>)
    /// These sequence numbers of an incomplete version are buffered.
    case buffered(ChunkID)
}

extension IntervalSet {
    /// As `insert(_:)`, telling which ranges went into the new one. Returns the new range; nil when all of it was there.
    mutating func insert(_ range: ClosedRange<UInt64>, replacing: (ClosedRange<UInt64>) -> Void) -> ClosedRange<UInt64>? {
        let low = range.lowerBound == 0 ? 0 : range.lowerBound - 1
        var merged = range
        var index = ranges.partitioningIndex { $0.upperBound >= low }
        while index < ranges.count, range.upperBound == .max || ranges[index].lowerBound <= range.upperBound + 1 {
            let touched = ranges[index]
            if touched.lowerBound <= range.lowerBound, touched.upperBound >= range.upperBound { return nil }
            replacing(touched)
            merged = Swift.min(merged.lowerBound, touched.lowerBound)...Swift.max(merged.upperBound, touched.upperBound)
            index += 1
        }
        insert(range)
        return merged
    }
}

extension RandomAccessCollection where Index == Int {
    /// The first index from which on `belongs` holds; the collection must be partitioned by it.
    func partitioningIndex(where belongs: (Element) -> Bool) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = low + (high - low) / 2
            if belongs(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
