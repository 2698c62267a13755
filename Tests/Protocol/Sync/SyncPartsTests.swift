// Goal: needs are asked newest first, in turns and never twice; digests tell who is worth a session.

import Testing

@testable import PatinaProtocol

@Suite struct SyncNeedsTests {
    private func needs(_ number: Int, _ versions: ClosedRange<UInt64>, pieces: [VersionPiece] = []) -> ActorNeeds {
        ActorNeeds(actor: Sample.actor(number), versions: IntervalSet(versions), pieces: pieces)
    }

    private func take(
        _ needs: inout SyncNeeds, limit: Int = 100, ledger: VersionLedger = VersionLedger(), reserved: [ReadRequest.Want] = []
    ) -> [ReadRequest.Want] {
        needs.take(limit: limit, ledger: ledger, reserved: .init(wants: reserved))
    }

    @Test("needs: newest first, in blocks, one actor after the other")
    func order() {
        var line = SyncNeeds([needs(1, 1...20), needs(2, 5...6)], blockVersions: 8)
        #expect(
            take(&line, limit: 3) == [
                .versions(Sample.actor(1), 13...20), .versions(Sample.actor(2), 5...6), .versions(Sample.actor(1), 5...12),
            ])
        #expect(take(&line) == [.versions(Sample.actor(1), 1...4)])
        #expect(line.isEmpty)
        #expect(take(&line).isEmpty)
    }

    @Test("needs: pieces of a version take their turn by its age")
    func pieces() {
        let piece = VersionPiece(version: 6, sequences: IntervalSet(2...3))
        var line = SyncNeeds([needs(1, 1...9, pieces: [piece])], blockVersions: 4)
        #expect(
            take(&line) == [
                .versions(Sample.actor(1), 6...9), .sequences(Sample.actor(1), version: 6, IntervalSet(2...3)),
                .versions(Sample.actor(1), 2...5),
                .versions(Sample.actor(1), 1...1),
            ])
    }

    @Test("needs: what came meanwhile is left out, even in the middle of a block")
    func cameMeanwhile() {
        var ledger = VersionLedger()
        ledger.apply(.completed(Sample.actor(1), versions: 18...30))
        ledger.apply(.completed(Sample.actor(1), versions: 14...14))
        ledger.apply(.buffered(Sample.id(2, 3, 0...4, of: 9)))
        ledger.apply(.completed(Sample.actor(3), versions: 1...9))
        let pieces = [VersionPiece(version: 3, sequences: IntervalSet(0...9))]
        var line = SyncNeeds([needs(1, 1...20), ActorNeeds(actor: Sample.actor(2), pieces: pieces), needs(3, 2...9)], blockVersions: 8)
        #expect(
            take(&line, ledger: ledger) == [
                .versions(Sample.actor(1), 15...17), .versions(Sample.actor(1), 10...13),
                .sequences(Sample.actor(2), version: 3, IntervalSet(5...9)), .versions(Sample.actor(1), 2...9),
                .versions(Sample.actor(1), 1...1),
            ])
    }

    @Test("needs: an endless range that is known by now is dropped at once")
    func endless() {
        var ledger = VersionLedger()
        ledger.apply(.completed(Sample.actor(1), versions: 1...(.max)))
        var line = SyncNeeds([needs(1, 1...(.max))], blockVersions: 64)
        #expect(take(&line, ledger: ledger).isEmpty)
        var other = SyncNeeds([needs(2, 1...(.max))], blockVersions: 64)
        #expect(take(&other, limit: 1) == [.versions(Sample.actor(2), (.max - 63)...(.max))])
    }

    @Test("needs: what is reserved is left to whoever reserved it")
    func reserved() {
        let reserved: [ReadRequest.Want] = [
            .versions(Sample.actor(1), 12...14), .sequences(Sample.actor(1), version: 18, IntervalSet(0...1)),
        ]
        let pieces = [VersionPiece(version: 25, sequences: IntervalSet(0...9)), VersionPiece(version: 30, sequences: IntervalSet(0...9))]
        var line = SyncNeeds([needs(1, 10...20, pieces: pieces)], blockVersions: 64)
        let more: [ReadRequest.Want] = reserved + [.versions(Sample.actor(1), 25...25)]
        #expect(
            take(&line, reserved: more) == [
                .sequences(Sample.actor(1), version: 30, IntervalSet(0...9)), .versions(Sample.actor(1), 19...20),
                .versions(Sample.actor(1), 15...17), .versions(Sample.actor(1), 10...11),
            ])
        #expect(line.isEmpty)
    }

    @Test("needs: what did not fit is first in line the next time")
    func putBack() {
        var line = SyncNeeds([needs(1, 1...10), needs(2, 1...10)], blockVersions: 5)
        _ = take(&line, limit: 1)
        line.putBack([.versions(Sample.actor(1), 6...8)])
        #expect(take(&line, limit: 2) == [.versions(Sample.actor(1), 6...8), .versions(Sample.actor(2), 6...10)])
    }

    @Test("needs: answers are restricted to what was asked")
    func restricting() {
        let asked: [ReadRequest.Want] = [.versions(Sample.actor(1), 5...9), .sequences(Sample.actor(2), version: 3, IntervalSet(0...5))]
        #expect(
            asked.restricting([
                .versions(Sample.actor(1), 1...6), .versions(Sample.actor(3), 1...6),
                .sequences(Sample.actor(1), version: 9, IntervalSet(1...2)),
                .sequences(Sample.actor(2), version: 3, IntervalSet(4...9)), .sequences(Sample.actor(2), version: 4, IntervalSet(0...1)),
                .versions(Sample.actor(2), 1...9),
            ]) == [
                .versions(Sample.actor(1), 5...6), .sequences(Sample.actor(1), version: 9, IntervalSet(1...2)),
                .sequences(Sample.actor(2), version: 3, IntervalSet(4...5)), .sequences(Sample.actor(2), version: 3, IntervalSet(0...5)),
            ])
        #expect(asked.restricting(EmptyVersions(actor: Sample.actor(1), versions: 1...(.max))).map(\.versions) == [5...9])
        #expect(asked.restricting(EmptyVersions(actor: Sample.actor(2), versions: 1...9)).map(\.versions) == [3...3])
        #expect(asked.restricting(EmptyVersions(actor: Sample.actor(3), versions: 1...9)).isEmpty)
        #expect(
            asked.leavingOut([.sequences(Sample.actor(1), version: 7, IntervalSet(0...1))]) == [
                .versions(Sample.actor(1), 8...9), .versions(Sample.actor(1), 5...6), asked[1],
            ])
    }
}

@Suite struct DigestBookTests {
    private func digest(_ number: UInt64) -> Fingerprint { Fingerprint(high: 9, low: number) }

    @Test("digests: a peer with our digest, an old one of ours, or nothing, has nothing for us")
    func covered() {
        var book = DigestBook(own: digest(1))
        book.cover(digest(2))
        for known in [digest(1), digest(2), .zero] {
            let difference = book.heard(known, from: Sample.actor(1), now: .zero)
            #expect(difference == nil)
        }
        #expect(book.differences.isEmpty)
    }

    @Test("digests: another one is a difference until we had it, or until the peer has one that we know")
    func difference() {
        var book = DigestBook(own: digest(1))
        _ = book.heard(digest(5), from: Sample.actor(1), now: .at(milliseconds: 10))
        _ = book.heard(digest(6), from: Sample.actor(2), now: .at(milliseconds: 20))
        _ = book.heard(digest(7), from: Sample.actor(9), now: .at(milliseconds: 30))
        #expect(book.differences.map(\.actor) == [1, 2, 9].map(Sample.actor))
        book.cover(digest(5))
        book.prune(members: Sample.table(5))
        #expect(book.differences.map(\.actor) == [Sample.actor(2)])
        _ = book.heard(digest(1), from: Sample.actor(2), now: .at(milliseconds: 40))
        #expect(book.differences.isEmpty)
    }

    @Test("digests: under constant writes the first difference's time counts, unless there was agreement in between")
    func since() {
        var book = DigestBook(own: digest(1))
        for step in 0..<5 { _ = book.heard(digest(10 + UInt64(step)), from: Sample.actor(1), now: .at(milliseconds: Int64(step))) }
        #expect(book.differences.map(\.since) == [.at(milliseconds: 0)])
        book.cover(digest(14))
        _ = book.heard(digest(15), from: Sample.actor(1), now: .at(milliseconds: 9))
        #expect(book.differences.map(\.since) == [.at(milliseconds: 9)])
    }

    @Test("digests: what is remembered is bounded, the oldest goes")
    func bounds() {
        var book = DigestBook(own: digest(1))
        for number in 0..<100 { _ = book.heard(digest(1_000), from: Sample.actor(number), now: .zero) }
        #expect(book.differences.count == DigestBook.differencesLimit)
        #expect(book.differences.first?.actor == Sample.actor(36))
        for number in 0..<UInt64(DigestBook.coveredLimit) { book.cover(digest(5_000 + number)) }
        #expect(!book.covers(digest(1)))
        #expect(book.covers(digest(5_000)))
        #expect(book.covers(.zero))
    }
}
