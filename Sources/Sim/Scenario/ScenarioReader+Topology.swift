import PatinaProtocol
import PatinaTOML

/// The topology, and what single nodes have of their own.
extension ScenarioReader {
    // MARK: [topology]

    func readTopology() throws(ScenarioError) -> Topology {
        guard let table = try top.table("topology", allowed: ["nodes", "regions", "place", "join"]) else {
            throw ScenarioError(file: source.file, line: nil, message: "[topology] with a number of nodes is required")
        }
        guard let nodes = try table.integer("nodes", in: 1...Self.nodesMaximum) else {
            throw table.error(nil, "topology.nodes is required")
        }
        var topology = Topology(nodes: nodes)
        topology.regions = try readRegions(table)
        topology.place = try table.choice("place", Topology.Place.self) ?? .weighted
        if let join = try table.table("join", allowed: ["via", "over"]) {
            if let via = try join.string("via") {
                switch (via, Selector.parse(via)) {
                case ("first", _): topology.join.via = .first
                case (_, .random(let count)): topology.join.via = .random(count)
                default: throw join.error("via", "via = \"\(via)\" is not understood; expected \"first\" or \"3 random\"")
                }
            }
            if let over = try join.duration("over") { topology.join.over = over }
        }
        return topology
    }

    private func readRegions(_ table: TableReader) throws(ScenarioError) -> [Topology.Region] {
        guard case .string(let name)? = table["regions"] else { return try regions(of: table) }
        guard let path = topologyFile(name) else {
            throw table.error(
                "regions", "there is no topology \"\(name)\": neither topologies/\(name).toml here or above, nor a file of that path")
        }
        let text: String
        do throws(FileAccess.Failure) {
            text = try FileAccess.read(path)
        } catch {
            throw table.error("regions", "the topology \(path) cannot be read: \(error.reason)")
        }
        let own = DocumentSource(file: path, locator: KeyLocator(text))
        let regions = try regions(of: TableReader(try DocumentValue.parse(text, file: path), at: [], in: own, allowed: ["regions"]))
        guard !regions.isEmpty else { throw ScenarioError(file: path, line: nil, message: "the topology has no regions") }
        return regions
    }

    private func regions(of table: TableReader) throws(ScenarioError) -> [Topology.Region] {
        var regions: [Topology.Region] = []
        for region in try table.tables("regions", allowed: ["name", "lat", "lon", "weight"]) {
            let name = try region.requiredString("name")
            guard !regions.contains(where: { $0.name == name }) else {
                throw region.error("name", "there are two regions \"\(name)\"")
            }
            regions.append(
                Topology.Region(
                    name: name, latitude: try region.thousandths("lat", in: -90_000...90_000) ?? 0,
                    longitude: try region.thousandths("lon", in: -180_000...180_000) ?? 0,
                    weight: try region.integer("weight", in: 1...1_000_000) ?? 1))
        }
        return regions
    }

    /// A path beside the scenario, or `topologies/NAME.toml` in its directory or one above it.
    private func topologyFile(_ name: String) -> String? {
        if name.hasSuffix(".toml") {
            let path = FileAccess.resolve(name, besides: source.file)
            return FileAccess.exists(path) ? path : nil
        }
        guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "/")) else { return nil }
        var up = ""
        for _ in 0..<8 {
            let path = FileAccess.resolve("\(up)topologies/\(name).toml", besides: source.file)
            if FileAccess.exists(path) { return path }
            up += "../"
        }
        return nil
    }

    // MARK: [[node.where]]

    func readNodeOverrides(_ base: NodeSettings) throws(ScenarioError) -> [NodeOverride] {
        guard case .table(let entries)? = top["node"], case .array(let values)? = entries.first(where: { $0.key == "where" })?.value else {
            return []
        }
        var overrides: [NodeOverride] = []
        for (index, value) in values.enumerated() {
            let path: [PathStep] = [.key("node"), .key("where"), .index(index)]
            guard case .table(let entries) = value else { throw source.error(at: path, "node.where must be tables: write [[node.where]]") }
            guard case .string(let text)? = entries.first(where: { $0.key == "select" })?.value, let selector = Selector.parse(text) else {
                throw source.error(at: path, "[[node.where]] needs select: one of \(Selector.example)")
            }
            let rest = DocumentValue.table(entries.filter { $0.key != "select" })
            var written: [NodeOverride.Setting] = []
            var settings = base
            try NodeKey.read(rest, at: path, prefix: "", in: source, into: &settings, written: &written)
            overrides.append(NodeOverride(select: selector, settings: written))
        }
        return overrides
    }

    // MARK: [swarm]

    func readSwarm() throws(ScenarioError) -> SwarmSettings {
        var swarm = SwarmSettings()
        guard let table = try top.table("swarm", allowed: ["vary", "faults", "chaos"]) else { return swarm }
        for text in try table.strings("vary") ?? [] {
            guard let variation = SwarmSettings.Variation(text) else {
                throw table.error(
                    "vary",
                    "vary = \"\(text)\" is not understood; expected a path and a range, like \"link.*.loss 0%..30%\" or "
                        + "\"link.*.latency x0.1..x10\", or a path alone, like \"fault.*\"")
            }
            swarm.vary.append(variation)
        }
        if let faults = try table.table("faults", allowed: ["kinds", "strike"]) {
            swarm.faults = SwarmSettings.Faults(kinds: try faults.share("kinds") ?? 100_000, strike: try faults.share("strike") ?? 50_000)
        }
        if let chaos = try table.table("chaos", allowed: ["sites", "fire"]) {
            swarm.chaos = SwarmSettings.Chaos(sites: try chaos.share("sites") ?? 100_000, fire: try chaos.share("fire") ?? 100_000)
        }
        return swarm
    }
}
