import PatinaProtocol

/// The next process of each machine speaks another wire version.
struct UpgradeAction: FaultAction {
    let nodes: [Int]
    let wire: WireVersion

    func begin(in simulation: Simulation, strike: Int) {
        for node in nodes { simulation.change(simulation.hosts[node], to: wire) }
    }

    func end(in simulation: Simulation, strike: Int) {}
}

extension FaultKind {
    /// Releases.
    static let upgrades: [FaultKind] = [
        FaultKind(
            "rolling-upgrade",
            "the nodes take their leave one after the other and come back with another wire version, and stay with it; "
                + "those whose turn would come after the guaranteed heal keep theirs",
            keys: [
                FaultKey("select", .selector, nil, "the nodes, in an order that is drawn"),
                FaultKey(
                    "wire", .word(WireVersion.allCases.map(\.rawValue)), .word(WireVersion.laterMinor.rawValue),
                    "`1.1`: a later build, with fields and kinds that this one does not know; `2.0`: one that 1.x cannot read; "
                        + "`1.0`: back to this one"),
                FaultKey("step", .durations, .durations(.seconds(2)...(.seconds(3))), "from one node to the next"),
                FaultKey("batch", .count(1...1_000), .count(1), "nodes that go together"),
                FaultKey("down", .durations, .durations(.milliseconds(500)...(.seconds(1))), "how long there is no process"),
            ], lasts: false,
            notLive: "an executable speaks one wire version, and the later ones are only modelled, at the border of a simulated node"
        ) { planning in
            var nodes = planning.nodes()
            planning.random.shuffle(&nodes)
            guard let wire = WireVersion(rawValue: planning.word("wire")) else { preconditionFailure("the word was read a moment ago") }
            let heal = Instant.zero + (planning.scenario.duration - planning.scenario.drain)
            var strikes: [Strike] = []
            var now = planning.start
            while !nodes.isEmpty, now < heal {
                let batch = nodes.prefix(planning.count("batch")).sorted()
                nodes.removeFirst(batch.count)
                let stop = now + .seconds(1)
                strikes.append(Strike(start: now, end: now, action: LeaveAction(nodes: batch)))
                strikes.append(Strike(start: stop, end: stop, action: UpgradeAction(nodes: batch, wire: wire)))
                strikes.append(Strike(start: stop, end: stop + planning.drawn("down"), action: CrashAction(nodes: batch)))
                now = now + max(.milliseconds(1), planning.drawn("step"))
            }
            return strikes
        }
    ]
}
