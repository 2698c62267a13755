import PatinaProtocol

/// A kind of fault that a swarm adds to a scenario: one that ends by itself and takes no data, so that what must hold still must.
struct DrawnFaultKind: Sendable {
    let name: String
    let keys: [FaultKey]
    let lasts: Bool

    /// How long one strike lasts.
    static let length: ClosedRange<Duration> = .milliseconds(200)...(.seconds(5))

    /// The kinds, in the order of the documentation.
    static let all: [DrawnFaultKind] = FaultKind.all.filter { names.contains($0.name) }.map {
        DrawnFaultKind(name: $0.name, keys: $0.keys, lasts: $0.lasts)
    }

    static let names = [
        "partition-halves", "partition-one", "partition-bridge", "partition-ring", "partition-one-way", "loss", "burst-loss", "duplicate",
        "reorder",
        "latency", "bandwidth", "clog", "swizzle-clog", "crash", "restart", "flap", "pause", "slow-cpu", "connection-reset", "clock-skew",
        "clock-step",
    ]

    /// A table of `[[fault]]`. Keys that have a usual value are left to it.
    func fault(id: String, at: Duration, for length: Duration, using random: inout Random) -> DocumentValue {
        var entries = [
            DocumentValue.Entry(key: "id", value: .string(id)), DocumentValue.Entry(key: "kind", value: .string(name)),
            DocumentValue.Entry(key: "at", value: .string(Quantity.print(at))),
        ]
        if lasts { entries.append(DocumentValue.Entry(key: "for", value: .string(Quantity.print(length)))) }
        for key in keys where key.fallback == nil {
            guard let value = Self.value(of: key.form, using: &random) else { continue }
            entries.append(DocumentValue.Entry(key: key.name, value: value))
        }
        return .table(entries.sorted { $0.key < $1.key })
    }

    private static func value(of form: FaultKey.Form, using random: inout Random) -> DocumentValue? {
        switch form {
        case .selector: .string(random.element(of: ["1", "1", "2", "25%"]) ?? "1")
        case .sides: .array([.array([.string("50%")]), .array([.string("rest")])])
        case .word(let words): random.element(of: words).map { .string($0) }
        case .share: .string(random.element(of: ["1%", "5%", "20%", "50%"]) ?? "5%")
        case .duration, .durations: .string(random.element(of: ["5ms", "50ms", "300ms"]) ?? "50ms")
        case .count(let range): .integer(range.lowerBound + random.below(min(3, range.count)))
        case .bytes(let range): .string(Quantity.print(bytes: min(range.upperBound, max(range.lowerBound, 65_536))))
        case .bandwidth: .string(random.element(of: ["256kbit/s", "2Mbit/s"]) ?? "2Mbit/s")
        case .partsPerMillion: .string("200ppm")
        // No kind among them asks for SQL.
        case .statements: nil
        }
    }
}
