import PatinaProtocol

/// Processes that end. What was committed stays.
package struct CrashAction: FaultAction {
    /// In ascending order.
    package let nodes: [Int]

    package func begin(in simulation: Simulation, strike: Int) {
        for node in nodes {
            simulation.hosts[node].heldDownBy += 1
            simulation.crash(simulation.hosts[node])
        }
    }

    package func end(in simulation: Simulation, strike: Int) {
        for node in nodes {
            simulation.hosts[node].heldDownBy -= 1
            simulation.start(simulation.hosts[node])
        }
    }
}

/// Processes are asked to take their leave, as by SIGTERM.
package struct LeaveAction: FaultAction {
    package let nodes: [Int]

    package func begin(in simulation: Simulation, strike: Int) {
        for node in nodes where simulation.hosts[node].isUp { simulation.deliver(.commanded(.leave), to: simulation.hosts[node]) }
    }

    package func end(in simulation: Simulation, strike: Int) {}
}

/// Machines stand still, as a process does under SIGSTOP. What arrives meanwhile waits.
package struct PauseAction: FaultAction {
    package let nodes: [Int]

    package func begin(in simulation: Simulation, strike: Int) {
        for node in nodes { simulation.pause(simulation.hosts[node]) }
    }

    package func end(in simulation: Simulation, strike: Int) {
        for node in nodes { simulation.resume(simulation.hosts[node]) }
        simulation.catchUpBegins()
    }
}

/// Every event that a process handles takes some time, and the next one waits for it.
package struct SlowAction: FaultAction {
    package let nodes: [Int]
    package let eventCost: Duration

    package func begin(in simulation: Simulation, strike: Int) {
        for node in nodes { simulation.slowDown(simulation.hosts[node], by: eventCost) }
    }

    package func end(in simulation: Simulation, strike: Int) {
        for node in nodes { simulation.speedUp(simulation.hosts[node], by: eventCost) }
    }
}

/// Connections end at once, at both ends.
package struct ResetAction: FaultAction {
    package let nodes: [Int]

    package func begin(in simulation: Simulation, strike: Int) {
        for node in nodes {
            for connection in simulation.hosts[node].connections where simulation.connections[connection].isEstablished {
                simulation.lose(connection, initiator: nil)
            }
        }
    }

    package func end(in simulation: Simulation, strike: Int) {}
}

/// Nodes whose certificates nobody accepts. What their users see of QUIC: connections end, and handshakes are refused.
package struct CertificateAction: FaultAction {
    package let nodes: [Int]
    let partition: Partition

    package func begin(in simulation: Simulation, strike: Int) {
        ResetAction(nodes: nodes).begin(in: simulation, strike: strike)
        simulation.network.cut(partition, occurrence: strike)
    }

    package func end(in simulation: Simulation, strike: Int) {
        simulation.network.heal(occurrence: strike, at: simulation.clock.now)
        simulation.catchUpBegins()
    }
}

extension FaultKind {
    /// Processes and their machines.
    static let processes: [FaultKind] = [
        FaultKind("crash", "the process ends at once; what was committed stays", keys: [.select], engines: [.sim, .live]) { planning in
            planning.whole(CrashAction(nodes: planning.nodes()))
        },
        FaultKind(
            "permanent-crash", "the process ends at once and never comes back", keys: [.select], lasts: false, engines: [.sim, .live]
        ) { planning in
            [Strike(start: planning.start, end: nil, action: CrashAction(nodes: planning.nodes()))]
        },
        FaultKind(
            "restart", "the process takes its leave, ends a second later, and is started again",
            keys: [.select, FaultKey("down", .durations, .durations(.seconds(1)...(.seconds(1))), "how long there is no process")],
            lasts: false, engines: [.sim, .live]
        ) { planning in
            let nodes = planning.nodes()
            let stop = planning.start + .seconds(1)
            return [
                Strike(start: planning.start, end: planning.start, action: LeaveAction(nodes: nodes)),
                Strike(start: stop, end: stop + planning.drawn("down"), action: CrashAction(nodes: nodes)),
            ]
        },
        FaultKind(
            "flap", "each of the nodes crashes and comes back, again and again, by itself",
            keys: [
                .select, FaultKey("up", .durations, .durations(.seconds(2)...(.seconds(6))), "how long it stays up"),
                FaultKey("down", .durations, .durations(.milliseconds(500)...(.seconds(3))), "how long it stays down"),
            ], engines: [.sim, .live]
        ) { planning in
            var strikes: [Strike] = []
            for node in planning.nodes() {
                var now = planning.start
                while now < planning.last, strikes.count < FaultPlan.strikesMaximum {
                    let end = min(now + max(.milliseconds(1), planning.drawn("down")), planning.last)
                    strikes.append(Strike(start: now, end: end, action: CrashAction(nodes: [node])))
                    now = end + max(.milliseconds(1), planning.drawn("up"))
                }
            }
            return strikes
        },
        FaultKind(
            "pause", "the machine stands still, as under SIGSTOP; what arrives waits", keys: [.select], engines: [.sim, .live]
        ) { planning in
            planning.whole(PauseAction(nodes: planning.nodes()))
        },
        FaultKind(
            "slow-cpu", "every event that a node handles takes some time",
            keys: [.select, FaultKey("event", .duration, .duration(.milliseconds(2)), "how long one event takes; at most 10s")],
            engines: [.sim, .live]
        ) { planning in
            planning.whole(SlowAction(nodes: planning.nodes(), eventCost: min(.seconds(10), planning.duration("event"))))
        },
        FaultKind(
            "certificate-expiry",
            "nobody accepts the certificates of the nodes: connections end, each new handshake is refused after a round trip",
            keys: [FaultKey("select", .selector, .selector(.all), "the nodes")], engines: [.sim, .live]
        ) { planning in
            let nodes = planning.nodes()
            var mask = [Bool](repeating: false, count: planning.nodeCount)
            for node in nodes { mask[node] = true }
            return planning.whole(CertificateAction(nodes: nodes, partition: Partition(shape: .alone(mask), refuses: true)))
        },
        FaultKind(
            "connection-reset", "the connections of the nodes are lost at both ends", keys: [.select], lasts: false, engines: [.sim, .live]
        ) { planning in
            planning.whole(ResetAction(nodes: planning.nodes()))
        },
    ]
}
