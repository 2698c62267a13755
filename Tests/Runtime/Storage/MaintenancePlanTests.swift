import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaRuntime

@Suite struct MaintenancePlanTests {
    private let start = Instant(nanoseconds: 1_000_000_000)

    private func plan() -> MaintenancePlan { MaintenancePlan(MaintenanceConfiguration(), now: start) }

    @Test("maintenance plan: nothing at first, then every task once, in order, then each after its interval")
    func order() {
        var plan = plan()
        let step1 = plan.next(now: start)
        #expect(step1 == nil)
        #expect(plan.earliest == start + .seconds(60))
        var now = start + .seconds(60)
        var order: [MaintenancePlan.Step] = []
        while let step = plan.next(now: now) {
            order.append(step)
            plan.done(step, hasMore: false, now: now)
        }
        #expect(order == MaintenanceTask.allCases.map { .task($0) })
        // The ledger is looked at again after five seconds, the vacuum after a minute, the rest after an hour.
        #expect(plan.earliest == now + .seconds(5))
        let ledger = plan.next(now: now + .seconds(5))
        #expect(ledger == .task(.ledger))
        plan.done(.task(.ledger), hasMore: false, now: now + .seconds(56))
        now = now + .seconds(60)
        let step2 = plan.next(now: now)
        #expect(step2 == .task(.vacuum))
        plan.done(.task(.vacuum), hasMore: false, now: now)
        let step3 = plan.next(now: now)
        #expect(step3 == nil)
        let step4 = plan.next(now: start + .seconds(3_660))
        #expect(step4 == .task(.clocks))
    }

    @Test("maintenance plan: a pass that has more goes on at once when nobody waits, and now and then when somebody does")
    func more() {
        var plan = plan()
        let now = start + .seconds(60)
        let step5 = plan.next(now: now)
        #expect(step5 == .task(.clocks))
        plan.done(.task(.clocks), hasMore: true, now: now)
        #expect(plan.earliest <= now)
        #expect(plan.latest == now + .milliseconds(500))
        let step6 = plan.next(now: now + .milliseconds(1))
        #expect(step6 == .task(.clocks))
    }

    @Test("maintenance plan: what a change of the schema left to do comes before everything else, until it is done")
    func upkeep() {
        var plan = plan()
        plan.needsUpkeep()
        let step7 = plan.next(now: start)
        #expect(step7 == .upkeep)
        plan.done(.upkeep, hasMore: true, now: start)
        let step8 = plan.next(now: start)
        #expect(step8 == .upkeep)
        plan.done(.upkeep, hasMore: false, now: start)
        let step9 = plan.next(now: start)
        #expect(step9 == nil)
    }

    @Test("maintenance plan: upkeep that failed is not tried all the time, however often it is asked for")
    func failedUpkeep() {
        var plan = plan()
        plan.needsUpkeep()
        let first = plan.next(now: start)
        #expect(first == .upkeep)
        plan.failed(.upkeep, now: start)
        plan.needsUpkeep()
        #expect(plan.earliest == start + .seconds(60))
        let soon = plan.next(now: start + .seconds(59))
        #expect(soon == nil)
        let later = plan.next(now: start + .seconds(60))
        #expect(later == .upkeep)
    }

    @Test("maintenance plan: a long log is asked for once, and again when it has grown by a quarter")
    func logGrowth() {
        var log = LogGrowth()
        let asked = (1...3_000).filter { log.needsCheckpoint(pages: $0) }
        #expect(asked == Array(stride(from: 1_024, through: 3_000, by: 256)))
        // It began anew.
        #expect((1...1_100).filter { log.needsCheckpoint(pages: $0) } == [1_024])
    }

    @Test("maintenance plan: what the writer moves itself is bounded")
    func ownPages() {
        #expect([0, 1_024, 4_096, 8_192, 16_384, 1 << 30].map(Store.ownCheckpointPages(logPages:)) == [128, 128, 128, 256, 512, 512])
    }
}
