import PatinaProtocol
import PatinaTOML

/// A kind of fault: what a scenario calls it, which keys it has besides those of all faults, and what it does to a run.
///
/// A new kind is one entry in one of the lists that `all` is made of, and one `FaultAction`. Reading, the canonical form, the messages
/// about mistakes, `patina sim faults --list` and the table in `docs/scenarios.md` follow from the entry.
public struct FaultKind: Sendable {
    public let name: String
    /// What it does, in a few words: a line of a table.
    public let summary: String
    public let keys: [FaultKey]
    /// False: it happens at one instant, so it has no `for`.
    public let lasts: Bool
    /// What can bring it about.
    public let engines: [Engine]
    /// Why real agents cannot be made to suffer it, as the end of a sentence; nil when they can.
    public let notLive: String?
    /// Works out one occurrence. Random choices are drawn here, before the run starts.
    let plan: @Sendable (inout FaultPlanning) -> [Strike]

    /// What runs a scenario.
    public enum Engine: String, Hashable, Sendable, CaseIterable { case sim, live }

    init(
        _ name: String, _ summary: String, keys: [FaultKey], lasts: Bool = true, engines: [Engine] = [.sim],
        notLive: String? = nil, plan: @escaping @Sendable (inout FaultPlanning) -> [Strike]
    ) {
        self.name = name
        self.summary = summary
        self.keys = keys
        self.lasts = lasts
        self.engines = engines
        self.notLive = notLive
        self.plan = plan
    }

    /// All kinds, in the order of the documentation.
    public static let all: [FaultKind] = partitions + links + processes + upgrades + disks + clocks + schemas

    /// The kind of that name; nil when there is none.
    public static func named(_ name: String) -> FaultKind? { all.first { $0.name == name } }

    /// The value that a fault of this kind has for a key when the scenario gives none.
    func fallback(_ key: String) -> FaultValue? { keys.first { $0.name == key }?.fallback }
}

/// A key of a kind of fault.
public struct FaultKey: Sendable {
    public let name: String
    public let form: Form
    /// Nil: the key is required.
    public let fallback: FaultValue?
    public let summary: String

    /// What stands behind the key.
    public enum Form: Hashable, Sendable {
        case selector
        /// Lists of selectors, 2 to 16 of them.
        case sides
        case word([String])
        case share
        case duration
        case durations
        case count(ClosedRange<Int>)
        case bytes(ClosedRange<Int>)
        case bandwidth
        /// A list of texts of SQL, at least one.
        case statements
        /// Millionths, written as `50ppm`.
        case partsPerMillion
    }

    init(_ name: String, _ form: Form, _ fallback: FaultValue? = nil, _ summary: String) {
        self.name = name
        self.form = form
        self.fallback = fallback
        self.summary = summary
    }

    static let select = FaultKey("select", .selector, nil, "the nodes")
}

/// The value of a key of a fault.
public enum FaultValue: Hashable, Sendable {
    case selector(Selector)
    case sides([[Selector]])
    case word(String)
    case share(UInt32)
    case duration(Duration)
    case durations(ClosedRange<Duration>)
    case count(Int)
    case bytes(Int)
    case bandwidth(UInt64)
    case partsPerMillion(Int)
    case statements([String])

    /// The value as TOML.
    var text: String {
        switch self {
        case .selector(let selector): TOMLText.quote(selector.text)
        case .sides(let sides):
            "[" + sides.map { side in "[\(side.map { TOMLText.quote($0.text) }.joined(separator: ", "))]" }.joined(separator: ", ")
                + "]"
        case .word(let word): TOMLText.quote(word)
        case .share(let share): TOMLText.quote(Quantity.print(share: share))
        case .duration(let duration): TOMLText.quote(Quantity.print(duration))
        case .durations(let range): TOMLText.quote(Quantity.print(range))
        case .count(let count): "\(count)"
        case .bytes(let bytes): TOMLText.quote(Quantity.print(bytes: bytes))
        case .bandwidth(let bandwidth): TOMLText.quote(Quantity.print(bandwidth: bandwidth))
        case .statements(let texts): "[" + texts.map(TOMLText.quote).joined(separator: ", ") + "]"
        case .partsPerMillion(let parts): TOMLText.quote("\(parts)ppm")
        }
    }
}

/// The values of a fault's own keys, in the order of its kind's keys.
public struct FaultValues: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
        public var key: String
        public var value: FaultValue

        public init(key: String, value: FaultValue) {
            self.key = key
            self.value = value
        }
    }

    public var entries: [Entry]

    public init(_ entries: [Entry]) { self.entries = entries }

    public subscript(key: String) -> FaultValue? {
        get { entries.first { $0.key == key }?.value }
        set {
            guard let newValue, let index = entries.firstIndex(where: { $0.key == key }) else { return }
            entries[index].value = newValue
        }
    }
}
