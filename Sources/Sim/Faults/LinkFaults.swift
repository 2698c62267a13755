import PatinaProtocol

extension FaultKind {
    /// Links that get worse. They add to what the link rules say.
    static let links: [FaultKind] = [
        link("loss", "datagrams are lost", keys: [FaultKey("share", .share, nil, "of the datagrams")]) { .loss($0.share("share")) },
        link(
            "burst-loss", "datagrams are lost in bursts (Gilbert and Elliott's two states)",
            keys: [
                FaultKey("good_to_bad", .share, .share(2_000), "chance, at each datagram, that a burst begins"),
                FaultKey("bad_to_good", .share, .share(200_000), "chance, at each datagram, that it ends"),
                FaultKey("bad_loss", .share, .share(500_000), "of the datagrams in a burst"),
            ]
        ) { planning in
            .bursts(
                LinkModel.Bursts(
                    goodToBad: planning.share("good_to_bad"), badToGood: planning.share("bad_to_good"), loss: planning.share("bad_loss")))
        },
        link("duplicate", "datagrams arrive twice", keys: [FaultKey("share", .share, nil, "of the datagrams")]) {
            .duplicate($0.share("share"))
        },
        link(
            "reorder", "datagrams are held back, and later ones overtake them",
            keys: [
                FaultKey("share", .share, nil, "of the datagrams"),
                FaultKey("delay", .duration, .duration(.milliseconds(50)), "for how long at most"),
            ]
        ) { .reorder($0.share("share"), delay: $0.duration("delay")) },
        link(
            "corrupt", "bits of datagrams are turned over on the way; QUIC's authentication refuses them",
            keys: [FaultKey("share", .share, nil, "of the datagrams")]
        ) { .corrupt($0.share("share")) },
        link(
            "bandwidth", "the wires are slow",
            keys: [
                FaultKey("rate", .bandwidth, nil, "such as `\"1Mbit/s\"`"),
                FaultKey("queue", .bytes(2_048...1_073_741_824), .bytes(65_536), "bytes that wait before datagrams are dropped"),
            ]
        ) { .bandwidth($0.bandwidth("rate"), queueBytes: $0.bytes("queue")) },
        link("latency", "the way takes longer", keys: [FaultKey("added", .durations, nil, "drawn for each datagram and transfer")]) {
            .latency($0.durations("added"))
        },
        link("clog", "nothing gets through and nothing is lost: datagrams come out at the end", keys: []) { .clog(until: $0.end) },
        FaultKind(
            "swizzle-clog", "links of the nodes are clogged one node after the other, and freed in another order",
            keys: [.select], engines: [.sim, .live]
        ) { planning in
            let nodes = planning.nodes()
            var order = nodes
            planning.random.shuffle(&order)
            // The first half of the time closes them, the second half opens them.
            let half = Duration.nanoseconds((planning.last - planning.start).nanoseconds / 2)
            var starts: [Instant] = []
            var ends: [Instant] = []
            for _ in nodes {
                starts.append(planning.start + planning.random.duration(in: .zero...half))
                ends.append(planning.last - planning.random.duration(in: .zero...half))
            }
            return order.indices.map { index in
                let end = planning.end == nil ? nil : max(starts[index], ends[index])
                return Strike(
                    start: starts[index], end: end,
                    action: LinkAction(
                        disturbance: LinkDisturbance(
                            nodes: planning.mask([order[index]]), direction: .both, change: .clog(until: end))))
            }
        },
    ]

    private static func link(
        _ name: String, _ summary: String, keys: [FaultKey], change: @escaping @Sendable (FaultPlanning) -> LinkDisturbance.Change
    ) -> FaultKind {
        let own = [
            FaultKey("select", .selector, .selector(.all), "the nodes whose links it is about"),
            FaultKey(
                "direction", .word(LinkDisturbance.Direction.allCases.map(\.rawValue)), .word("both"),
                "`out`: what they send; `in`: what is sent to them"),
        ]
        return FaultKind(name, summary, keys: own + keys, engines: [.sim, .live]) { planning in
            let direction = LinkDisturbance.Direction(rawValue: planning.word("direction")) ?? .both
            let nodes = planning.mask(planning.nodes())
            return planning.whole(
                LinkAction(disturbance: LinkDisturbance(nodes: nodes, direction: direction, change: change(planning))))
        }
    }
}

extension FaultPlanning {
    /// True at the places of the nodes.
    func mask(_ nodes: [Int]) -> [Bool] {
        var mask = [Bool](repeating: false, count: nodeCount)
        for node in nodes { mask[node] = true }
        return mask
    }
}
