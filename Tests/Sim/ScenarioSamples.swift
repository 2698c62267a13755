import Foundation
import PatinaProtocol
import Testing

@testable import PatinaSim

/// A small scenario to change in tests. Its lines are numbered in the margin because tests name them.
enum Sample {
    static let text = """
        format = 1
        name = "sample"
        about = "Three nodes for tests."

        [run]
        duration = "20s"
        warmup = "2s"
        drain = "4s"

        [topology]
        nodes = 3

        [[link]]
        latency = "1ms..2ms"
        loss = "0%"

        [[workload]]
        kind = "upsert"
        table = "items"
        rate = "20/s"

        [[fault]]
        id = "cut"
        kind = "partition"
        sides = [["node:0"], ["rest"]]
        at = "5s"
        for = "3s"

        [[check]]
        always = "no-acked-write-lost"

        """

    /// The line, from 1, that contains `part` in `text`.
    static func line(of part: String, in text: String = Sample.text) -> Int? {
        text.split(separator: "\n", omittingEmptySubsequences: false).firstIndex { $0.contains(part) }.map { $0 + 1 }
    }

    static func scenario(_ overrides: String..., adding: String = "") throws -> Scenario {
        try Scenario.parse(text + adding, file: "sample.toml", overrides: overrides)
    }
}

extension SimulationReport {
    /// What failed, for messages of tests.
    var failures: String { checks.filter { !$0.valid }.map { "\($0.name): \($0.detail)" }.joined(separator: "; ") }
}

/// The scenario files of the repository.
enum ScenarioLibrary {
    static let root = String(#filePath.dropLast("Tests/Sim/ScenarioSamples.swift".count)) + "scenarios/"

    /// The names, without the ending, of the files of a group; sorted.
    static func files(in group: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root + group)) ?? []
        return names.filter { $0.hasSuffix(".toml") }.map { String($0.dropLast(5)) }.sorted()
    }

    /// The groups of files; sorted.
    static var groups: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).filter { !$0.contains(".") }.sorted()
    }

    static let positive = [
        "smoke/three-nodes.toml", "smoke/partition-heal.toml", "broadcast/lossy-links.toml", "broadcast/large-transaction.toml",
        "membership/crash-detect.toml", "sync/cold-rejoin.toml", "scale/hundred.toml", "scale/thousand.toml",
    ]
    /// Those that fail without a mutant, with the checks that must fail, and only they.
    static let negative: [(String, [String])] = NegativeScenarios.names.compactMap { name in
        guard let mutants = try? NegativeScenarios.list("mutants", of: name), mutants.isEmpty else { return nil }
        return ("negative/\(name).toml", (try? NegativeScenarios.fails(name)) ?? [])
    }
}
