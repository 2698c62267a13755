import PatinaProtocol
import PatinaStore
import Testing

@testable import PatinaSim

/// Power losses at 10,000 points of a write workload: nothing durable is lost, nothing is half there, no version comes twice.
@Suite("Crash points")
struct CrashPointTests {
    @Test("crash points: 5,000 power losses leave a sound database", arguments: Synchronous.allCases)
    func sound(synchronous: Synchronous) throws {
        let workload = try CrashWorkload(synchronous: synchronous, steps: 150, seed: 7)
        #expect(workload.operations.count > 500)
        #expect(workload.states.compactMap(\.version).count > 60)
        let violations = workload.judge(points: 5_000, seed: 11)
        #expect(violations.isEmpty, "\(violations.count) violations; first: \(violations.first ?? "")")
    }

    @Test("crash points: nor does a log break that is written in one piece", arguments: Synchronous.allCases)
    func joinedLogWrites(synchronous: Synchronous) throws {
        let workload = try CrashWorkload(synchronous: synchronous, joinsLogWrites: true, steps: 80, seed: 7)
        let piecemeal = try CrashWorkload(synchronous: synchronous, steps: 80, seed: 7)
        #expect(workload.states.map(\.content) == piecemeal.states.map(\.content))
        #expect(workload.operations.count < piecemeal.operations.count * 3 / 4)
        let violations = workload.judge(points: 1_000, seed: 11)
        #expect(violations.isEmpty, "\(violations.count) violations; first: \(violations.first ?? "")")
    }

    @Test("crash points: without the reservation the checker sees versions that come twice")
    func reservation() throws {
        let workload = try CrashWorkload(synchronous: .normal, reserves: false, steps: 60, seed: 7)
        let violations = workload.judge(points: 300, seed: 11)
        #expect(violations.contains { $0.contains("is given out again") })
        let others = violations.filter { !$0.contains("is given out again") }
        #expect(others.isEmpty, "\(others.count) others; first: \(others.first ?? "")")
    }

    @Test("crash points: who takes normal for full loses transactions, and the checker sees it")
    func promise() throws {
        let workload = try CrashWorkload(synchronous: .normal, steps: 60, seed: 7)
        #expect(workload.judge(points: 300, promised: .full, seed: 11).contains { $0.contains("durable transactions are lost") })
    }

    @Test("crash points: a log whose bits turned over is mended or refused, and never read beside a database of another time")
    func damagedLogs() throws {
        let workload = try CrashWorkload(synchronous: .normal, notedOnly: true, steps: 150, seed: 7)
        let outcome = workload.judgeDamagedLogs(points: 300, seed: 11)
        #expect(outcome.violations.isEmpty, "\(outcome.violations.count) violations; first: \(outcome.violations.first ?? "")")
        // Refused only where the process ended within a checkpoint.
        #expect(outcome.mended > 3 && outcome.refused > 3, "\(outcome.mended), \(outcome.refused)")
    }

    @Test("crash points: without marks the checker sees databases of two times")
    func damagedLogsWithoutMarks() throws {
        let workload = try CrashWorkload(synchronous: .normal, reserves: false, notedOnly: true, steps: 80, seed: 7)
        let outcome = workload.judgeDamagedLogs(points: 60, seed: 11)
        #expect(outcome.refused == 0 && outcome.mended == 0)
        #expect(outcome.violations.contains { !$0.contains("is given out again") })
    }
}
