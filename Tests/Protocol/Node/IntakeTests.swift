// Goal: what is pending is what the store was given and has not answered for, within bounds.

import Testing

@testable import PatinaProtocol

@Suite struct IntakeTests {
    private func limits(chunks: Int = 100, bytes: Int = 1_000, batch: Int = 3) -> Limits {
        var limits = Limits()
        limits.pendingChunks = chunks
        limits.pendingBytes = bytes
        limits.applyBatchChunks = batch
        return limits
    }

    private func chunk(_ version: UInt64, bytes: Int = 10) -> Chunk { Sample.chunk(1, version, body: Array(repeating: 1, count: bytes)) }

    @Test("intake: chunks leave in batches, in order, and are pending until the store has answered")
    func batches() {
        var intake = Intake(limits: limits())
        for version in UInt64(1)...4 { _ = intake.offer(chunk(version)) }
        _ = intake.offer(EmptyVersions(actor: Sample.actor(2), versions: 1...9))
        #expect(
            intake.nextOperation(token: StoreToken(1))
                == .apply(
                    chunks: [chunk(1), chunk(2), chunk(3)], empties: [EmptyVersions(actor: Sample.actor(2), versions: 1...9)]))
        intake.checkInvariants()
        #expect(intake.contains(Sample.id(1, 1)))
        let answered = intake.answered(StoreToken(1))
        #expect(answered?.chunks.map(\.version) == [1, 2, 3])
        #expect(!intake.contains(Sample.id(1, 1)) && intake.contains(Sample.id(1, 4)))
        #expect(intake.bytes == 10)
        #expect(intake.nextOperation(token: StoreToken(2)) == .apply(chunks: [chunk(4)], empties: []))
        #expect(intake.nextOperation(token: StoreToken(3)) == nil)
        let unknown = intake.answered(StoreToken(9))
        #expect(unknown == nil)
        intake.checkInvariants()
    }

    @Test("intake: a chunk that is pending is not taken twice, and is taken again once it is not")
    func pending() {
        var intake = Intake(limits: limits())
        var verdicts = [intake.offer(chunk(1)), intake.offer(chunk(1))]
        _ = intake.nextOperation(token: StoreToken(1))
        verdicts.append(intake.offer(chunk(1)))
        _ = intake.answered(StoreToken(1))
        verdicts.append(intake.offer(chunk(1)))
        #expect(verdicts == [.taken, .pending, .pending, .taken])
        intake.checkInvariants()
    }

    @Test("intake: bounds of chunks and bytes hold, a chunk beyond all bounds is taken alone")
    func bounds() {
        var few = Intake(limits: limits(chunks: 2))
        #expect(
            [few.offer(chunk(1)), few.offer(chunk(2)), few.offer(chunk(3)), few.offer(chunk(2))] == [
                .taken, .taken, .full(.pendingChunks), .pending,
            ])
        few.checkInvariants()
        var light = Intake(limits: limits(bytes: 25))
        #expect(
            [light.offer(chunk(1)), light.offer(chunk(2)), light.offer(chunk(3)), light.offer(chunk(1))] == [
                .taken, .taken, .full(.pendingBytes), .pending,
            ])
        var tiny = Intake(limits: limits(bytes: 5))
        #expect([tiny.offer(chunk(1)), tiny.offer(chunk(2))] == [.taken, .full(.pendingBytes)])
        tiny.checkInvariants()
    }
}
