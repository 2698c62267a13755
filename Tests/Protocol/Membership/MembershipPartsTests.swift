import Testing

@testable import PatinaProtocol

/// The parts of the membership machine that stand alone: probe order, update queue, round-trip estimate, configuration.
@Suite struct MembershipPartsTests {
    private func place(_ number: Int) -> MemberTable.Place { MemberTable.Place(number) }

    @Test("probe order: every member once a round, at most 2n - 1 probes apart (50 members)")
    func rounds() {
        var random = Random(seed: 1)
        var order = ProbeOrder()
        #expect(order.next(using: &random) == nil)
        for number in 0..<50 { order.insert(place(number), using: &random) }
        var last: [MemberTable.Place: Int] = [:]
        var orders: Set<[MemberTable.Place]> = []
        for round in 0..<20 {
            var seen: [MemberTable.Place] = []
            for probe in 0..<50 {
                guard let next = order.next(using: &random) else { return }
                let time = round * 50 + probe
                if let before = last[next] { #expect(time - before <= 99) }
                last[next] = time
                seen.append(next)
            }
            #expect(Set(seen).count == 50)
            orders.insert(seen)
        }
        #expect(orders.count == 20)
    }

    @Test("probe order: comings and goings in the middle of a round hide nobody")
    func changes() {
        var random = Random(seed: 2)
        var order = ProbeOrder()
        var members: Set<Int> = []
        var waiting: [Int: Int] = [:]
        for step in 0..<5_000 {
            let number = random.below(30)
            if members.contains(number) {
                if random.below(8) == 0 {
                    order.remove(place(number))
                    members.remove(number)
                    waiting[number] = nil
                }
            } else {
                order.insert(place(number), using: &random)
                members.insert(number)
                waiting[number] = step
            }
            if let next = order.next(using: &random) {
                #expect(members.contains(Int(next)))
                if let since = waiting[Int(next)] { #expect(step - since <= 100) }
                waiting[Int(next)] = step
            }
            #expect(order.members.count == members.count)
        }
    }

    @Test("update queue: the least often sent first, the newest first among equals")
    func queueOrder() {
        var queue = UpdateQueue()
        for number in 0..<3 { queue.add(place(number), size: 30) }
        #expect(queue.take(bytes: 60, limit: 9) == [place(2), place(1)])
        #expect(queue.take(bytes: 60, limit: 9) == [place(0), place(2)])
        queue.add(place(1), size: 30)
        #expect(queue.take(bytes: 30, limit: 9) == [place(1)])
        #expect(queue.take(bytes: 10, limit: 9).isEmpty)
        #expect(queue.count == 3)
        #expect(queue.bytes == 90)
    }

    @Test("update queue: done after as many sendings as the limit; hearing it counts as two", arguments: [(1, 0), (5, 0), (5, 1), (5, 2)])
    func queueLimit(limit: Int, heard: Int) {
        var queue = UpdateQueue()
        queue.add(place(1), size: 10)
        for _ in 0..<heard { queue.heard(place(1), weight: 2) }
        var sent = 0
        while !queue.take(bytes: 100, limit: limit).isEmpty { sent += 1 }
        #expect(sent == max(0, limit - 2 * heard))
        #expect(queue.isEmpty)
        #expect(queue.bytes == 0)
    }

    @Test("update queue: agrees with a naive model (random operations)", arguments: 1...5 as ClosedRange<UInt64>)
    func queueModel(seed: UInt64) {
        var random = Random(seed: seed)
        var queue = UpdateQueue()
        var model: [Int: (sent: Int, size: Int)] = [:]
        for _ in 0..<3_000 {
            let number = random.below(40)
            switch random.below(10) {
            case 0...4:
                let size = 20 + random.below(30)
                queue.add(place(number), size: size)
                model[number] = (0, size)
            case 5:
                queue.remove(place(number))
                model[number] = nil
            default:
                let (capacity, limit) = (random.below(300), 4)
                let taken = queue.take(bytes: capacity, limit: limit).map { Int($0) }
                #expect(Set(taken).count == taken.count)
                #expect(taken.reduce(0) { $0 + (model[$1]?.size ?? 1_000) } <= capacity)
                // Nothing that was taken had been sent more often than something that was left and would have fitted.
                let most = taken.compactMap { model[$0]?.sent }.max() ?? 0
                let left = model.filter { !taken.contains($0.key) }
                #expect(left.allSatisfy { $0.value.sent >= most })
                for number in taken {
                    model[number]?.sent += 1
                    if model[number]?.sent == limit { model[number] = nil }
                }
            }
            #expect(queue.count == model.count)
            #expect(queue.bytes == model.values.reduce(0) { $0 + $1.size })
            #expect(queue.contains(place(number)) == (model[number] != nil))
        }
    }

    @Test("round trip: the estimate follows the samples and allows for their spread")
    func estimate() throws {
        var estimate = RoundTripEstimate()
        #expect(estimate.smoothed == nil)
        #expect(estimate.patience == nil)
        estimate.observe(.milliseconds(100))
        #expect(estimate.smoothed == .milliseconds(100))
        #expect(estimate.patience == .milliseconds(300))
        for _ in 0..<100 { estimate.observe(.milliseconds(10)) }
        let smoothed = try #require(estimate.smoothed)
        #expect((.milliseconds(9)...Duration.milliseconds(11)).contains(smoothed))
        #expect(try #require(estimate.patience) < .milliseconds(12))
        for wild in [Duration.zero, .seconds(-5), .seconds(Int64.max / 2)] { estimate.observe(wild) }
        #expect(try #require(estimate.smoothed) > .zero)
    }

    @Test("configuration: nonsense is raised to the nearest sense")
    func sane() {
        var configuration = MembershipConfiguration()
        #expect(configuration.sane == configuration)
        configuration.probePeriod = .zero
        configuration.probeTimeoutCap = .zero
        configuration.gossipPeriod = .seconds(-1)
        configuration.confirmations = 99
        configuration.announceCap = .seconds(1)
        let sane = configuration.sane
        #expect(sane.probePeriod > .zero)
        #expect(sane.probeTimeoutCap == sane.probeTimeoutFloor)
        #expect(sane.gossipPeriod > .zero)
        #expect(sane.confirmations == 3)
        #expect(sane.announceCap == sane.announceFloor)
    }

    @Test("bit width: is the ceiling of the logarithm of one more")
    func width() {
        for count in 1...5_000 {
            let width = bitWidth(count)
            #expect(1 << width >= count + 1)
            #expect(1 << (width - 1) < count + 1)
        }
    }

    @Test("varint size: agrees with the writer")
    func sizes() {
        for shift in 0..<64 {
            for value in [UInt64(1) << shift, UInt64(1) << shift - 1, UInt64(1) << shift | 1] {
                var writer = ByteWriter()
                writer.writeVarint(value)
                #expect(varintSize(value) == writer.count)
            }
        }
        #expect(varintSize(.max) == 10)
    }
}
