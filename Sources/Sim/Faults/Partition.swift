import PatinaProtocol

/// Who does not hear whom.
struct Partition: Sendable {
    static let noSide = UInt8.max

    enum Shape: Sendable {
        /// Nodes on different sides are apart; one on no side hears everybody.
        case sides([UInt8], Fault.Direction)
        /// All nodes stand in a ring, each at its place, and hear those that are at most `reach` places away. With a
        /// quarter of the ring each node hears a majority, and no two hear the same one.
        case ring(places: [Int], reach: Int)
        /// Each of these nodes is alone.
        case alone([Bool])
    }

    let shape: Shape
    /// Whoever tries to connect is refused, rather than left without an answer.
    var refuses = false

    /// True when nothing that `from` sends reaches `to`.
    func cuts(from: Int, to: Int) -> Bool {
        switch shape {
        case .sides(let sideOf, let direction):
            let (left, right) = (sideOf[from], sideOf[to])
            guard left != right, left != Partition.noSide, right != Partition.noSide else { return false }
            switch direction {
            case .both: return true
            case .firstToSecond: return left == 0
            case .secondToFirst: return left == 1
            }
        case .ring(let places, let reach):
            let distance = abs(places[from] - places[to])
            return min(distance, places.count - distance) > reach
        case .alone(let mask): return mask[from] || mask[to]
        }
    }
}

/// A partition while it lasts.
struct PartitionAction: FaultAction {
    let partition: Partition

    func begin(in simulation: Simulation, strike: Int) { simulation.network.cut(partition, occurrence: strike) }

    func end(in simulation: Simulation, strike: Int) {
        simulation.network.heal(occurrence: strike, at: simulation.clock.now)
        simulation.catchUpBegins()
    }
}

extension FaultKind {
    /// Cuts of the network. Datagrams are lost; what is reliable waits, and is lost with its connection.
    static let partitions: [FaultKind] = [
        FaultKind(
            "partition", "nodes on different sides do not hear each other; one on no side hears everybody",
            keys: [
                FaultKey("sides", .sides, nil, "such as `[[\"region:ams\"], [\"rest\"]]`"),
                FaultKey(
                    "direction", .word(Fault.Direction.allCases.map(\.rawValue)), .word("both"),
                    "`a->b`: what the first side sends is lost; two sides only"),
            ], engines: [.sim, .live]
        ) { planning in
            let direction = Fault.Direction(rawValue: planning.word("direction")) ?? .both
            return planning.whole(PartitionAction(partition: Partition(shape: .sides(planning.sides(), direction))))
        },
        FaultKind("partition-halves", "two halves, drawn anew each time", keys: [], engines: [.sim, .live]) { planning in
            let half = Set(planning.draw(planning.nodeCount / 2))
            return planning.sides(both: (0..<planning.nodeCount).map { half.contains($0) ? 0 : 1 })
        },
        FaultKind("partition-one", "one node, drawn anew each time, alone", keys: [], engines: [.sim, .live]) { planning in
            let alone = planning.draw(1)
            return planning.sides(both: (0..<planning.nodeCount).map { alone.contains($0) ? 0 : 1 })
        },
        FaultKind(
            "partition-bridge", "two halves, and one node between them that hears both", keys: [], engines: [.sim, .live]
        ) { planning in
            let drawn = planning.draw((planning.nodeCount + 1) / 2)
            let bridge = drawn[0]
            let first = Set(drawn.dropFirst())
            return planning.sides(
                both: (0..<planning.nodeCount).map { $0 == bridge ? Partition.noSide : first.contains($0) ? 0 : 1 })
        },
        FaultKind(
            "partition-ring", "each node hears a majority, and no two of them the same one", keys: [], engines: [.sim, .live]
        ) { planning in
            var places = Array(0..<planning.nodeCount)
            planning.random.shuffle(&places)
            // 2 reach + 1 nodes, itself included, are more than half of all.
            return planning.whole(PartitionAction(partition: Partition(shape: .ring(places: places, reach: (planning.nodeCount + 2) / 4))))
        },
        FaultKind(
            "partition-one-way", "what some nodes send does not reach the others, which they hear",
            keys: [FaultKey("select", .selector, nil, "the nodes that are not heard")], engines: [.sim, .live]
        ) { planning in
            let mute = Set(planning.nodes())
            let sides = (0..<planning.nodeCount).map { mute.contains($0) ? 0 : 1 as UInt8 }
            return planning.whole(PartitionAction(partition: Partition(shape: .sides(sides, .firstToSecond))))
        },
    ]
}

extension FaultPlanning {
    /// Different nodes, in the order in which they were drawn.
    mutating func draw(_ count: Int) -> [Int] {
        var nodes = Array(0..<nodeCount)
        random.shuffle(&nodes)
        return Array(nodes.prefix(max(1, count)))
    }

    fileprivate func sides(both sides: [UInt8]) -> [Strike] {
        whole(PartitionAction(partition: Partition(shape: .sides(sides, .both))))
    }
}
