import Foundation
import PatinaProtocol
import Testing

@testable import PatinaSim
@testable import PatinaStore

/// Random histories of three to five writers on real stores, compared with a model that shares no code with them.
@Suite("Oracle")
struct OracleTests {
    /// `PATINA_SEEDS` asks for more, `PATINA_FIRST_SEED` for others.
    static let seeds: Range<UInt64> = {
        let environment = ProcessInfo.processInfo.environment
        let first = environment["PATINA_FIRST_SEED"].flatMap { UInt64($0) } ?? 0
        return first..<(first + (environment["PATINA_SEEDS"].flatMap { UInt64($0) } ?? 300))
    }()
    /// Seeds are run in so many tests, to use all cores without one entry in the log for each.
    static let parts: UInt64 = 10

    @Test("oracle: stores hold the rows and clocks that the model says (every tenth seed)", arguments: 0..<parts)
    func histories(part: UInt64) {
        for seed in Self.seeds where seed % Self.parts == part {
            guard let difference = HistoryRun.difference(History(seed: seed)) else { continue }
            let shrunk = History(seed: seed).shrunk { HistoryRun.difference($0) != nil }
            Issue.record("seed \(seed): \(difference)\nshrunk: \(HistoryRun.difference(shrunk) ?? "passes")\n\(shrunk)")
            return
        }
    }

    @Test("oracle: a mistake in the model is noticed", arguments: OracleMutation.allCases)
    func mutations(mutation: OracleMutation) {
        let noticed = (0..<200 as Range<UInt64>).contains { HistoryRun.difference(History(seed: $0), mutation: mutation) != nil }
        #expect(noticed, "\(mutation.rawValue)")
    }
}
