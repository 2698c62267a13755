import PatinaStore
import Testing

@testable import PatinaRuntime

@Suite struct WriterQueueTests {
    private func job(_ id: JobID) -> WriterJob { WriterJob(id: id, timeout: nil, work: .alone { _ in }, abandon: { _ in }) }

    private func fill(_ queue: inout WriterQueue, _ lane: WriterQueue.Lane, _ count: Int) -> [JobID] {
        (0..<count).map { _ in
            let id = JobID.next()
            let isAccepted = queue.append(job(id), to: lane)
            #expect(isAccepted)
            return id
        }
    }

    private func drain(_ queue: inout WriterQueue) -> [JobID] {
        var order: [JobID] = []
        while let job = queue.next() { order.append(job.id) }
        return order
    }

    @Test("writer queue: control before local before operation, each in order of arrival")
    func order() {
        var queue = WriterQueue(bounds: .init())
        let operations = fill(&queue, .operation, 3)
        let local = fill(&queue, .local, 3)
        let control = fill(&queue, .control, 2)
        let order = drain(&queue)
        #expect(order == control + local + operations)
        #expect(queue.isEmpty)
    }

    @Test("writer queue: a waiting merge gets its turn after a streak of local transactions (streak 4)")
    func streak() {
        var queue = WriterQueue(bounds: .init(localStreak: 4))
        let local = fill(&queue, .local, 10)
        let operations = fill(&queue, .operation, 2)
        var expected = Array(local[0..<4])
        expected.append(operations[0])
        expected += local[4..<8]
        expected.append(operations[1])
        expected += local[8...]
        let order = drain(&queue)
        #expect(order == expected)
    }

    @Test("writer queue: local transactions before a merge arrives do not count as a streak")
    func streakStartsWithTheWait() {
        var queue = WriterQueue(bounds: .init(localStreak: 2))
        _ = fill(&queue, .local, 5)
        for _ in 0..<3 { _ = queue.next() }
        let operation = fill(&queue, .operation, 1)[0]
        let order = drain(&queue)
        #expect(order.firstIndex(of: operation) == 2)
    }

    @Test("writer queue: full lanes refuse, and take again after a removal (bounds 2 and 1)")
    func bounds() {
        var queue = WriterQueue(bounds: .init(local: 2, operations: 1))
        let local = fill(&queue, .local, 2)
        _ = fill(&queue, .operation, 1)
        let late = JobID.next()
        let isLocalAccepted = queue.append(job(late), to: .local)
        let isOperationAccepted = queue.append(job(.next()), to: .operation)
        #expect(!isLocalAccepted && !isOperationAccepted)
        let (removed, again) = (queue.removeLocal(local[0]), queue.removeLocal(local[0]))
        #expect(removed?.id == local[0])
        #expect(again == nil)
        let isLateAccepted = queue.append(job(late), to: .local)
        #expect(isLateAccepted)
        let rest = queue.removeAll(in: .local).map(\.id)
        #expect(rest == [local[1], late])
        #expect(queue.localCount == 0)
    }

    @Test("writer queue: a group takes transactions that follow each other, and ends where something else comes next")
    func group() {
        var queue = WriterQueue(bounds: .init(localStreak: 3))
        var transactions: [JobID] = []
        for _ in 0..<4 {
            let id = JobID.next()
            transactions.append(id)
            let isAccepted = queue.append(WriterJob(id: id, timeout: nil, work: .transaction([]) { _ in }, abandon: { _ in }), to: .local)
            #expect(isAccepted)
        }
        let other = fill(&queue, .local, 1)[0]
        let operation = fill(&queue, .operation, 1)[0]
        let first = queue.next()
        #expect(first?.id == transactions[0])
        var grouped: [JobID] = []
        while let job = queue.nextOfGroup() { grouped.append(job.id) }
        #expect(grouped == Array(transactions[1...]))
        // The group was longer than a streak may be.
        let rest = drain(&queue)
        #expect(rest == [operation, other])
        let late = JobID.next()
        _ = queue.append(WriterJob(id: late, timeout: nil, work: .transaction([]) { _ in }, abandon: { _ in }), to: .local)
        _ = fill(&queue, .control, 1)
        let none = queue.nextOfGroup()
        #expect(none?.id == nil)
    }
}
