import PatinaProtocol
import PatinaTOML

/// Runs scenarios with the mutants that they name, until each is found: the table of `patina sim mutants FILE...`.
public struct MutantHunt {
    /// The scenarios, each with a line `# mutants: NAME, NAME`.
    public let files: [String]
    /// Seeds, from 1, that a mutant may survive.
    public let seeds: UInt64

    public init(files: [String], seeds: UInt64) {
        self.files = files
        self.seeds = seeds
    }

    public static let header = "| mutant | scenario | dies at seed | what is found |\n|---|---|---:|---|\n"

    /// - Parameter show: is given each line of the table when it is known.
    /// - Returns: true when every scenario held without a mutant and every mutant was found.
    /// - Throws: when a file cannot be read, or names a mutant that there is not.
    public func run(_ show: (String) -> Void) throws(ScenarioError) -> Bool {
        var isComplete = true
        for file in files {
            let scenario = try Scenario.load(path: file)
            for mutant in try Self.mutants(in: file) {
                let found = (1...max(1, seeds)).lazy.compactMap { seed -> (seed: UInt64, checks: [String])? in
                    let report = Simulation(scenario: scenario, seed: seed, mutant: mutant).run()
                    return report.valid ? nil : (seed, report.checks.filter { !$0.valid }.map(\.name))
                }.first
                if found == nil { isComplete = false }
                let end = found.map { "\($0.seed) | \($0.checks.joined(separator: ", "))" } ?? "none of \(seeds) | nothing"
                show("| `\(mutant.rawValue)` | \(scenario.name) | \(end) |\n")
            }
        }
        return isComplete
    }

    private static func mutants(in file: String) throws(ScenarioError) -> [Mutant] {
        let text: String
        do {
            text = try FileAccess.read(file)
        } catch {
            throw ScenarioError(file: file, line: nil, message: "the scenario cannot be read: \(error.reason)")
        }
        var mutants: [Mutant] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() where line.hasPrefix("# mutants: ")
        {
            for word in line.dropFirst(11).split(separator: ",") {
                guard let mutant = Mutant(rawValue: Quantity.trim(word)) else {
                    throw ScenarioError(
                        file: file, line: index + 1, message: "there is no mutant \"\(Quantity.trim(word))\"",
                        suggestion: Spelling.nearest(to: Quantity.trim(word), among: Mutant.allCases.map(\.rawValue)))
                }
                mutants.append(mutant)
            }
        }
        return mutants
    }
}
