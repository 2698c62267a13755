// Goal: a ledger says of every chunk whether it is there, and its fingerprint says the same in every order of events.
// Method: one test for each step, then random steps against a model that keeps every sequence number by itself.

import Testing

@testable import PatinaProtocol

@Suite struct VersionLedgerTests {
    let actor = ActorID(high: 0xA, low: 1)
    let other = ActorID(high: 0xB, low: 2)

    private func chunk(_ version: UInt64, _ sequences: ClosedRange<UInt64>, of last: UInt64, actor: ActorID? = nil) -> ChunkID {
        ChunkID(actor: actor ?? self.actor, version: version, sequences: sequences, lastSequence: last)!
    }

    @Test("ledger: nothing is known at first")
    func empty() {
        let ledger = VersionLedger()
        #expect(ledger.actors.isEmpty)
        #expect(ledger.head(of: actor) == 0)
        #expect(!ledger.contains(chunk(1, 0...0, of: 0)))
        #expect(ledger.fingerprint == .zero)
        #expect(ledger.bucketDigests(bits: 3) == Array(repeating: 0, count: 8))
        ledger.checkInvariants()
    }

    @Test("ledger: versions in order stay one contiguous range")
    func inOrder() throws {
        var ledger = VersionLedger()
        for version in UInt64(1)...100 {
            let isNew = ledger.apply(.completed(actor, versions: version...version))
            #expect(isNew)
        }
        let entry = try #require(ledger[actor])
        #expect(entry.contiguous == 100)
        #expect(entry.beyond.isEmpty)
        #expect(entry.complete == IntervalSet(1...100))
        #expect(entry.gaps.isEmpty)
        #expect(ledger.head(of: actor) == 100)
        ledger.checkInvariants()
    }

    @Test("ledger: a version ahead leaves a gap, and closing the gap joins the ranges")
    func gapAndClosing() throws {
        var ledger = VersionLedger()
        ledger.apply(.completed(actor, versions: 1...3))
        ledger.apply(.completed(actor, versions: 7...9))
        #expect(ledger[actor]?.gaps == IntervalSet(4...6))
        #expect(ledger[actor]?.incomplete(in: 2...8) == IntervalSet(4...6))
        ledger.apply(.completed(actor, versions: 4...6))
        #expect(ledger[actor]?.contiguous == 9)
        #expect(ledger[actor]?.gaps.isEmpty == true)
        ledger.checkInvariants()
    }

    @Test("ledger: what is known already changes nothing")
    func known() {
        var ledger = VersionLedger()
        ledger.apply(.completed(actor, versions: 1...3))
        ledger.apply(.completed(actor, versions: 7...9))
        ledger.apply(.buffered(chunk(12, 0...1, of: 5)))
        let before = ledger
        let changes: [LedgerChange] = [
            .completed(actor, versions: 2...3), .completed(actor, versions: 8...8), .buffered(chunk(2, 0...0, of: 5)),
            .buffered(chunk(12, 1...1, of: 5)),
        ]
        for change in changes {
            let isNew = ledger.apply(change)
            #expect(!isNew, "\(change)")
        }
        #expect(ledger == before)
        #expect(ledger.fingerprint == before.fingerprint)
    }

    @Test("ledger: a partial version is known in its pieces, and gone once it is complete")
    func partial() throws {
        var ledger = VersionLedger()
        ledger.apply(.buffered(chunk(4, 2...3, of: 9)))
        ledger.apply(.buffered(chunk(4, 7...9, of: 9)))
        #expect(ledger.contains(chunk(4, 8...9, of: 9)))
        #expect(!ledger.contains(chunk(4, 3...4, of: 9)))
        #expect(ledger.head(of: actor) == 4)
        #expect(ledger[actor]?.gaps == IntervalSet(1...3))
        var missing = IntervalSet(0...1)
        missing.insert(4...6)
        #expect(try #require(ledger[actor]?.partials[4]).missing == missing)
        ledger.checkInvariants()
        ledger.apply(.completed(actor, versions: 4...4))
        #expect(ledger.contains(chunk(4, 3...4, of: 9)))
        #expect(ledger[actor]?.partials.isEmpty == true)
        ledger.checkInvariants()
    }

    @Test("ledger: a chunk that contradicts what is buffered of its version is cut to fit")
    func contradiction() {
        var ledger = VersionLedger()
        ledger.apply(.buffered(chunk(1, 0...1, of: 5)))
        let fits = ledger.apply(.buffered(chunk(1, 4...90, of: 99)))
        let isBeyond = !ledger.apply(.buffered(chunk(1, 6...90, of: 99)))
        #expect(fits && isBeyond)
        #expect(ledger[actor]?.partials[1]?.received.ranges == [0...1, 4...5])
        ledger.checkInvariants()
    }

    @Test(
        "ledger: absurd ranges are taken without a trap",
        arguments: [0...0, 0...UInt64.max, 1...UInt64.max, UInt64.max...UInt64.max, (UInt64.max - 1)...UInt64.max])
    func absurd(range: ClosedRange<UInt64>) {
        var ledger = VersionLedger()
        ledger.apply(.completed(actor, versions: range))
        ledger.apply(.completed(actor, versions: 5...7))
        ledger.apply(.buffered(chunk(.max, 0...(.max - 1), of: .max)))
        ledger.apply(.buffered(chunk(9, .max...(.max), of: .max)))
        ledger.apply(.completed(actor, versions: range))
        ledger.checkInvariants()
        _ = ledger[actor]?.gaps
        _ = ledger[actor]?.complete
        _ = ledger.needs(comparedTo: PeerState(actors: [ActorState(actor: actor, head: .max), ActorState(actor: other, head: .max)]))
    }

    @Test("ledger: equal knowledge has equal fingerprints and buckets, whatever the order (seed)", arguments: [1, 2, 3, 4] as [UInt64])
    func orderDoesNotMatter(seed: UInt64) {
        var random = Random(seed: seed)
        let actors = (0..<20).map { _ in ActorID.random(using: &random) }
        var changes: [LedgerChange] = []
        for _ in 0..<300 {
            let actor = random.element(of: actors)!
            let version = random.below(UInt64(40)) + 1
            if random.below(3) == 0 {
                let first = random.below(UInt64(8))
                changes.append(.buffered(chunk(version, first...(first + random.below(UInt64(8) - first)), of: 7, actor: actor)))
            } else {
                changes.append(.completed(actor, versions: version...(version + random.below(UInt64(4)))))
            }
        }
        var first = VersionLedger()
        for change in changes { first.apply(change) }
        random.shuffle(&changes)
        var second = VersionLedger()
        for change in changes { second.apply(change) }
        #expect(first == second)
        #expect(first.fingerprint == second.fingerprint)
        for bits in 0...VersionLedger.bucketBits {
            #expect(first.bucketDigests(bits: bits) == second.bucketDigests(bits: bits))
            #expect(first.bucketDigests(bits: bits).reduce(0, &+) == first.fingerprint.low)
        }
        first.checkInvariants()
        second.apply(.completed(actors[0], versions: 100...100))
        #expect(first.fingerprint != second.fingerprint)
        #expect(zip(first.bucketDigests(bits: 8), second.bucketDigests(bits: 8)).filter { $0 != $1 }.count == 1)
    }

    @Test("ledger: agrees with a model that keeps every sequence number (seed)", arguments: [5, 6, 7, 8, 9] as [UInt64])
    func model(seed: UInt64) {
        var random = Random(seed: seed)
        var ledger = VersionLedger()
        var model = LedgerModel()
        for _ in 0..<400 {
            let version = random.below(UInt64(20)) + 1
            let first = random.below(UInt64(6))
            let change: LedgerChange =
                random.below(4) == 0
                ? .completed(actor, versions: version...(version + random.below(UInt64(3))))
                : .buffered(chunk(version, first...(first + random.below(6 - first)), of: 5))
            let before = ledger.fingerprint
            let isNew = ledger.apply(change)
            let isExpected = model.apply(change)
            #expect(isNew == isExpected)
            #expect(isNew == (ledger.fingerprint != before))
            ledger.checkInvariants()
            for version in UInt64(1)...24 {
                #expect(ledger.isComplete(actor, version) == model.complete.contains(version))
                for sequence in UInt64(0)...5 {
                    let isThere = model.complete.contains(version) || model.pieces.contains([version, sequence])
                    #expect(ledger.contains(chunk(version, sequence...sequence, of: 5)) == isThere)
                }
            }
            if model.complete.count == 20 {
                ledger = VersionLedger()
                model = LedgerModel()
            }
        }
    }

    @Test("ledger: needs are what the peer has and we have not (seed)", arguments: [10, 11, 12, 13, 14] as [UInt64])
    func needs(seed: UInt64) {
        var random = Random(seed: seed)
        for _ in 0..<60 {
            var (ours, theirs) = (VersionLedger(), VersionLedger())
            var (ourModel, theirModel) = (LedgerModel(), LedgerModel())
            for _ in 0..<random.below(UInt64(25)) {
                let version = random.below(UInt64(10)) + 1
                let first = random.below(UInt64(4))
                let change: LedgerChange =
                    random.below(2) == 0
                    ? .completed(actor, versions: version...(version + random.below(UInt64(2))))
                    : .buffered(chunk(version, first...(first + random.below(4 - first)), of: 3))
                let side = random.below(3)
                if side != 0 {
                    ours.apply(change)
                    _ = ourModel.apply(change)
                }
                if side != 1 {
                    theirs.apply(change)
                    _ = theirModel.apply(change)
                }
            }
            let needs = ours.needs(comparedTo: theirs.state { _ in true })
            #expect(needs.count <= 1)
            for version in UInt64(1)...12 {
                for sequence in UInt64(0)...3 {
                    let theyHave = theirModel.has(version, sequence)
                    let isNeeded = theyHave && !ourModel.has(version, sequence)
                    let isAsked = needs.contains { actor in
                        actor.versions.contains(version)
                            || actor.pieces.contains { $0.version == version && $0.sequences.contains(sequence) }
                    }
                    // A version that we have in part and the peer has whole may only be asked in its missing pieces.
                    #expect(isAsked == isNeeded, "version \(version), sequence \(sequence)")
                }
            }
        }
    }

    @Test("ledger: the state of chosen buckets leaves the other actors out")
    func stateByBucket() {
        var random = Random(seed: 1)
        var ledger = VersionLedger()
        for _ in 0..<100 { ledger.apply(.completed(ActorID.random(using: &random), versions: 1...3)) }
        let chosen = ledger.state { $0 < 64 }.actors.map(\.actor)
        #expect(chosen == ledger.actors.filter { VersionLedger.bucket(of: $0) < 64 })
        #expect((10...40).contains(chosen.count))
        #expect(ledger.suitableBucketBits == 5)
    }

    @Test("ledger: of a history with very many holes only the newest part is told")
    func manyHoles() throws {
        var ledger = VersionLedger()
        for version in stride(from: UInt64(2), through: 20_000, by: 2) { ledger.apply(.completed(actor, versions: version...version)) }
        let state = try #require(ledger.state { _ in true }.actors.first)
        #expect(state.gaps.ranges.count == 4_096)
        #expect(state.head == 20_000)
        // Less is claimed than is there, never more.
        for version in UInt64(1)...20_000 where !state.gaps.contains(version) { #expect(ledger.isComplete(actor, version)) }
    }
}

/// Every sequence number of one actor by itself.
private struct LedgerModel {
    var complete: Set<UInt64> = []
    /// [version, sequence]
    var pieces: Set<[UInt64]> = []

    func has(_ version: UInt64, _ sequence: UInt64) -> Bool { complete.contains(version) || pieces.contains([version, sequence]) }

    mutating func apply(_ change: LedgerChange) -> Bool {
        let before = (complete, pieces)
        switch change {
        case .completed(_, let versions):
            complete.formUnion(versions)
            pieces = pieces.filter { !complete.contains($0[0]) }
        case .buffered(let chunk):
            if !complete.contains(chunk.version) { for sequence in chunk.sequences { pieces.insert([chunk.version, sequence]) } }
        }
        return before != (complete, pieces)
    }
}
