import Foundation
import PatinaProtocol
import Testing

@testable import PatinaSim
@testable import PatinaStore

/// All short histories, without any randomness. `PATINA_EXHAUSTIVE=1` runs all of them, which wants a release build; else a part is run.
@Suite("SmallScope")
struct SmallScopeTests {
    static let isFull = ProcessInfo.processInfo.environment["PATINA_EXHAUSTIVE"] == "1"

    @Test("small scope: 3 nodes, 3 statements, all deliveries, on the merge")
    func three() {
        var schedules = 0
        for first in 0..<3 {
            var scope = SmallScope(statements: 3, stride: 1, sampleStride: .max)
            scope.run(first: first)
            #expect(scope.problem == nil)
            schedules += scope.schedules
        }
        #expect(schedules > 10_000)
    }

    @Test("small scope: 3 nodes, 4 statements, all deliveries, on the merge, and samples on stores", arguments: 0..<3)
    func four(first: Int) {
        var scope = SmallScope(statements: 4, stride: Self.isFull ? 1 : 60, sampleStride: Self.isFull ? 500 : 60)
        scope.run(first: first)
        #expect(scope.problem == nil)
        #expect(scope.schedules > (Self.isFull ? 400_000 : 5_000))
        print("small scope, first statement at node \(first): \(scope.histories) histories, \(scope.schedules) schedules")
        for history in scope.samples {
            let difference = HistoryRun.difference(history)
            #expect(difference == nil, "\(history)")
            if difference != nil { return }
        }
        #expect(scope.samples.count > 10)
    }

    @Test(
        "small scope: a mistake in the rule is noticed",
        arguments: [
            OracleMutation.reverseTieBreak, .lesserValue, .ignoreValues, .lesserColumnVersion, .ignoreCausalLength, .dropSentinel,
        ])
    func mutations(mutation: OracleMutation) {
        var scope = SmallScope(statements: 3, stride: 1, sampleStride: .max, mutation: mutation)
        for first in 0..<3 { scope.run(first: first) }
        #expect(scope.problem != nil, "\(mutation.rawValue)")
    }
}
