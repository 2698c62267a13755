import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct CompareTests {
    private typealias Bucket = MetricsDocument.Distribution.Bucket

    private func run(seed: UInt64, shift: UInt64, engine: MetricsDocument.Engine = .sim) -> MetricsDocument {
        var random = Random(seed: seed)
        var counts: [UInt64: UInt64] = [:]
        for _ in 0..<400 { counts[10_000 + UInt64(random.below(1_000)) + shift, default: 0] += 1 }
        let buckets = counts.keys.sorted().map { Bucket(upTo: $0, count: counts[$0] ?? 0) }
        return MetricsDocument(
            engine: engine, scenario: "s", scenarioHash: "h", seed: seed, nodes: 3, duration: .seconds(1),
            metrics: [
                SimulationReport.Metric(
                    name: "propagation.p50_ms", value: Double(10_500 + shift) / 1_000 + Double(random.below(100)) / 1_000)
            ],
            distributions: [MetricsDocument.Distribution(name: "propagation", buckets: buckets)],
            series: MetricsDocument.Series(interval: .seconds(1), columns: []))
    }

    private func side(_ name: String, _ seeds: ClosedRange<UInt64>, shift: UInt64 = 0) -> Comparison.Side {
        Comparison.Side(name: name, runs: seeds.map { run(seed: $0, shift: shift) })
    }

    @Test("distances: of small distributions, by hand")
    func byHand() throws {
        let left = [Bucket(upTo: 1_000, count: 1), Bucket(upTo: 2_000, count: 1)]
        let right = [Bucket(upTo: 2_000, count: 1), Bucket(upTo: 4_000, count: 3)]
        let distance = try #require(DistributionDistance(left, right))
        // Shares: left 0.5 at 1 ms, 1 at 2 ms; right 0.25 at 2 ms, 1 at 4 ms.
        #expect(distance.ks == 0.75)
        #expect(abs(distance.wassersteinMilliseconds - (0.5 * 1 + 0.75 * 2)) < 1e-9)
        #expect(try #require(DistributionDistance(left, left)).ks == 0)
        #expect(DistributionDistance(left, []) == nil)
    }

    @Test("compare: equal results are close, and a shift of a millisecond is seen")
    func shift() throws {
        let same = try Comparison(side("a", 1...10), side("b", 11...20))
        #expect(try #require(same.propagationDistance) < 0.06)
        #expect(same.metrics.allSatisfy { !$0.isDifferent })
        let shifted = try Comparison(side("a", 1...10), side("b", 11...20, shift: 1_000), floor: side("c", 21...30, shift: 1_000))
        let row = try #require(shifted.distances.first)
        #expect(row.ks > 0.95 && abs(row.wassersteinMilliseconds - 1) < 0.05 && (row.floorKS ?? 1) < 0.06)
        #expect(row.ksInterval.map { $0.contains(row.ks) } == true)
        #expect(shifted.metrics.allSatisfy(\.isDifferent) && abs(shifted.metrics[0].delta - 1) < 0.1)
        // The interval is drawn from a fixed seed.
        #expect(shifted == (try Comparison(side("a", 1...10), side("b", 11...20, shift: 1_000), floor: side("c", 21...30, shift: 1_000))))
    }

    @Test("compare: one run has no interval, and says that it is no evidence")
    func single() throws {
        let comparison = try Comparison(side("a", 1...1), side("b", 2...2))
        #expect(comparison.metrics[0].interval == nil && comparison.distances[0].ksInterval == nil)
        #expect(comparison.warnings.count == 2)
        let document = try JSONDocument.parse(comparison.json)
        #expect(try document.required("ks_propagation").number() == (comparison.propagationDistance.map { ($0 * 1e6).rounded() / 1e6 }))
        #expect(document["ks_propagation_ci95"] == .null)
        #expect(comparison.html.contains("<figure id=\"cdf-propagation\"") && !comparison.html.contains("<script"))
        #expect(throws: JSONFailure.self) { try Comparison(side("a", 1...1), Comparison.Side(name: "b", runs: [])) }
    }

    @Test("compare: the interval of 95% covers a known difference about as often as it says")
    func coverage() throws {
        var random = Random(seed: 4)
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
        var covered = 0
        for _ in 0..<60 {
            let left = (0..<12).map { _ in Double(random.below(1_000)) / 1_000 }
            let right = (0..<12).map { _ in 2 + Double(random.below(1_000)) / 1_000 }
            let interval = try #require(
                Bootstrap.interval(left: 12, right: 12) { picked, others in
                    mean(others.map { right[$0] }) - mean(picked.map { left[$0] })
                })
            if interval.contains(2) { covered += 1 }
            #expect(!interval.contains(0) && interval.upperBound - interval.lowerBound < 0.7)
        }
        // Resampling a dozen values is a little too sure of itself: 92% in theory.
        #expect((50...60).contains(covered), "\(covered) of 60")
    }

    @Test("compare: the page needs nothing from elsewhere")
    func page() throws {
        let html = try Comparison(side("a", 1...2), side("b", 3...4)).html
        for part in ["http:", "https:", "<script", "<link", "src=", "@import", "file:"] { #expect(!html.contains(part), "\(part)") }
        #expect(html.split(separator: "url(").dropFirst().allSatisfy { $0.hasPrefix("#") })
    }

    @Test("compare: folders are found, and a folder without metrics is an error")
    func folders() throws {
        let path = "\(ScenarioLibrary.root)../.build/sim-tests/\(UInt64.random(in: .min ... .max))"
        for seed in 1...3 as ClosedRange<UInt64> {
            try FileAccess.makeDirectory("\(path)/run-\(seed)")
            try FileAccess.write(Array(run(seed: seed, shift: 0).json.utf8), to: "\(path)/run-\(seed)/metrics.json")
        }
        let comparison = try CompareCommand.run(path, "\(path)/run-2", floor: "\(path)/run-3/metrics.json")
        #expect(comparison.left.runs.count == 3 && comparison.right.runs.count == 1 && comparison.floor?.runs.count == 1)
        try FileAccess.makeDirectory("\(path)/none")
        #expect(throws: ScenarioError.self) { try CompareCommand.run(path, "\(path)/none") }
        #expect(throws: ScenarioError.self) { try CompareCommand.run(path, "\(path)/nowhere") }
    }
}
