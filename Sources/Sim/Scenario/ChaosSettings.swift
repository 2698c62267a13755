import PatinaProtocol
import PatinaTOML

/// `[chaos]`: the points in the code at which something legal and unlucky happens now and then. `docs/scenarios.md` lists them.
struct ChaosSettings: Hashable, Sendable {
    /// Those that are on, in the order of the list.
    var points: [ChaosPoint] = []
    /// How often one of them strikes when the code comes by, in millionths.
    var fire: UInt32 = 100_000

    var configuration: ChaosConfiguration { ChaosConfiguration(points: points, fire: fire) }

    /// Names, and `*` or the part before the point with `.*`; nil when one means nothing.
    static func points(_ pattern: String) -> [ChaosPoint]? {
        if let point = ChaosPoint(name: pattern) { return [point] }
        guard pattern.hasSuffix("*") else { return nil }
        let found = ChaosPoint.allCases.filter { $0.name.hasPrefix(pattern.dropLast()) }
        return found.isEmpty ? nil : found
    }
}

extension ScenarioReader {
    // MARK: [chaos]

    func readChaos() throws(ScenarioError) -> ChaosSettings {
        guard let table = try top.table("chaos", allowed: ["points", "fire"]) else { return ChaosSettings() }
        var chosen: [ChaosPoint] = []
        for pattern in try table.strings("points") ?? ["*"] {
            guard let points = ChaosSettings.points(pattern) else {
                throw table.error(
                    "points", "there is no chaos point \"\(pattern)\"; \"patina sim chaos\" lists them",
                    suggestion: Spelling.nearest(to: pattern, among: ChaosPoint.allCases.map(\.name)))
            }
            chosen += points
        }
        return ChaosSettings(points: ChaosPoint.allCases.filter { chosen.contains($0) }, fire: try table.share("fire") ?? 100_000)
    }
}

extension Scenario {
    /// Whether any chaos point may strike.
    package var hasChaos: Bool { chaos.configuration.isOn }
}
