import PatinaProtocol

extension Scenario {
    /// The scenario as a swarm runs it with one seed: every knob that `[swarm]` names is drawn from the seed. The same seed draws the same.
    /// A draw that makes no sense (a timeout longer than its period) is done again; after 20 of those the file's own values are used.
    public func drawn(seed: UInt64) -> Scenario {
        guard swarm != SwarmSettings() else { return self }
        var base = self
        base.swarm = SwarmSettings()
        // The canonical form has every key, so every knob can be scaled.
        guard let document = try? DocumentValue.parse(base.canonical, file: file) else {
            preconditionFailure("the canonical form of a scenario can be read")
        }
        let random = Random(seed: seed).fork("swarm")
        for attempt in 0..<20 {
            let draw = SwarmDraw(
                settings: swarm, scenario: base, document: document, random: random.fork("attempt", UInt64(attempt)))
            let source = DocumentSource(file: file, locator: KeyLocator(""))
            if let scenario = try? ScenarioReader(document: draw.apply(), source: source).read() { return scenario }
        }
        return base
    }
}

/// Draws the knobs of one seed. Each value has a random stream of its own, forked by its path, so that another entry of `vary` changes
/// nothing about it.
private struct SwarmDraw {
    let settings: SwarmSettings
    let scenario: Scenario
    /// The file's own values.
    let document: DocumentValue
    let random: Random

    func apply() -> DocumentValue {
        var document = document
        for variation in settings.vary {
            let keys = variation.path.split(separator: ".").map(String.init)
            document = vary(document, keys[...], variation, path: "")
        }
        return addChaos(to: addFaults(to: document))
    }

    // MARK: Values

    private func vary(_ value: DocumentValue, _ keys: ArraySlice<String>, _ variation: SwarmSettings.Variation, path: String)
        -> DocumentValue
    {
        guard let key = keys.first else { return draw(value, variation, path: path) }
        let rest = keys.dropFirst()
        switch value {
        case .table(let entries):
            return .table(
                entries.map { entry in
                    guard key == "*" || key == entry.key else { return entry }
                    let inner = "\(path).\(entry.key)"
                    // `*` at the end means everything below.
                    if key == "*", rest.isEmpty, case .table = entry.value {
                        return DocumentValue.Entry(key: entry.key, value: vary(entry.value, ["*"], variation, path: inner))
                    }
                    return DocumentValue.Entry(key: entry.key, value: vary(entry.value, rest, variation, path: inner))
                })
        case .array(let values):
            var result: [DocumentValue] = []
            for (index, element) in values.enumerated() {
                guard key == "*" || key == "\(index)" || key == Overrides.identifier(of: element) else {
                    result.append(element)
                    continue
                }
                let inner = "\(path).\(Overrides.identifier(of: element) ?? "\(index)")"
                if rest.isEmpty, path == ".fault" {
                    if let fault = drawFault(element, variation, path: inner) { result.append(fault) }
                } else {
                    result.append(vary(element, rest, variation, path: inner))
                }
            }
            return .array(result)
        case .string, .integer, .number, .boolean: return value
        }
    }

    private func draw(_ value: DocumentValue, _ variation: SwarmSettings.Variation, path: String) -> DocumentValue {
        var random = random.fork("vary \(path)")
        if case .between(let low, let high) = variation.range {
            return SwarmRange.draw(from: low, to: high, like: value, using: &random) ?? value
        }
        return SwarmRange.scale(value, by: SwarmRange.factor(in: SwarmRange.factors(of: variation.range), using: &random))
    }

    /// A fault of the file: one in four does not strike, unless something else hangs on it; the others come and go at another pace.
    private func drawFault(_ fault: DocumentValue, _ variation: SwarmSettings.Variation, path: String) -> DocumentValue? {
        var random = random.fork("vary \(path)")
        let isNeeded = Overrides.identifier(of: fault).map { document.mentions(fault: $0) } ?? false
        if random.below(4) == 0, !isNeeded { return nil }
        guard case .table(let entries) = fault else { return fault }
        let range = SwarmRange.factors(of: variation.range)
        return .table(
            entries.map { entry in
                guard ["for", "every"].contains(entry.key) else { return entry }
                return DocumentValue.Entry(
                    key: entry.key, value: SwarmRange.scale(entry.value, by: SwarmRange.factor(in: range, using: &random)))
            })
    }

    // MARK: Faults and chaos

    /// Each kind that is on strikes by the second, each with a stream of its own: another kind changes nothing about it.
    private func addFaults(to document: DocumentValue) -> DocumentValue {
        guard let faults = settings.faults, case .table(var entries) = document else { return document }
        let first = scenario.warmup.nanoseconds / 1_000_000_000
        let last = (scenario.duration - scenario.drain).nanoseconds / 1_000_000_000
        var added: [DocumentValue] = []
        for kind in DrawnFaultKind.all {
            var random = random.fork("fault \(kind.name)")
            guard random.chance(partsPerMillion: faults.kinds), first < last else { continue }
            for second in first..<last where random.chance(partsPerMillion: faults.strike) && added.count < Self.faultsMaximum {
                let at = Duration.seconds(second) + .milliseconds(random.below(1_000))
                let length = random.duration(in: DrawnFaultKind.length)
                added.append(kind.fault(id: "drawn-\(added.count + 1)", at: at, for: length, using: &random))
            }
        }
        guard !added.isEmpty else { return document }
        if let place = entries.firstIndex(where: { $0.key == "fault" }), case .array(let present) = entries[place].value {
            entries[place].value = .array(present + added)
        } else {
            entries.append(DocumentValue.Entry(key: "fault", value: .array(added)))
            entries.sort { $0.key < $1.key }
        }
        return .table(entries)
    }

    /// Faults that are added to one run at most.
    private static let faultsMaximum = 200

    /// Each point is on by itself, besides those that the file names.
    private func addChaos(to document: DocumentValue) -> DocumentValue {
        guard let chaos = settings.chaos, case .table(var entries) = document else { return document }
        let points = ChaosPoint.allCases.filter { point in
            var random = random.fork("chaos \(point.name)")
            return random.chance(partsPerMillion: chaos.sites) || scenario.chaos.points.contains(point)
        }
        entries.removeAll { $0.key == "chaos" }
        guard !points.isEmpty else { return document }
        entries.append(
            DocumentValue.Entry(
                key: "chaos",
                value: .table([
                    DocumentValue.Entry(key: "fire", value: .string(Quantity.print(share: chaos.fire))),
                    DocumentValue.Entry(key: "points", value: .array(points.map { .string($0.name) })),
                ])))
        return .table(entries.sorted { $0.key < $1.key })
    }
}

/// Drawing and scaling of quantities, in whole numbers only: they decide what happens.
enum SwarmRange {
    /// A value from a range whose ends have the unit of `value`; nil when they do not fit each other or the value.
    static func draw(from low: String, to high: String, like value: DocumentValue, using random: inout Random) -> DocumentValue? {
        // The unit may stand at the upper end only: `0..30%`.
        let isBare = low.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
        let low = isBare ? low + high.drop { $0.isNumber || $0 == "." } : low
        if case .integer = value, let low = Int(low), let high = Int(high), low <= high {
            return .integer(low + random.below(high - low + 1))
        }
        if let low = Quantity.share(low), let high = Quantity.share(high), low <= high {
            return .string(Quantity.print(share: low + UInt32(random.below(Int(high - low) + 1))))
        }
        if let low = Quantity.duration(low), let high = Quantity.duration(high), low <= high {
            return .string(Quantity.print(random.duration(in: low...high)))
        }
        if let low = Quantity.bytes(low), let high = Quantity.bytes(high), low <= high {
            return .string(Quantity.print(bytes: low + random.below(high - low + 1)))
        }
        return nil
    }

    /// The factors of a variation, in thousandths; half to double where it names none.
    static func factors(of range: SwarmSettings.Variation.Range) -> ClosedRange<Int> {
        guard case .scaled(let low, let high) = range else { return 500...2_000 }
        return max(1, low)...max(1, high)
    }

    /// A factor in thousandths from a range; every doubling is as likely as every other.
    static func factor(in range: ClosedRange<Int>, using random: inout Random) -> Int {
        let low = FixedPoint.binaryLogarithm(UInt64(range.lowerBound))
        let high = FixedPoint.binaryLogarithm(UInt64(range.upperBound))
        guard high > low else { return range.lowerBound }
        let share = FixedPoint.powerOfHalf(random.below(high - low))
        let product = UInt64(range.upperBound).multipliedFullWidth(by: share)
        return max(range.lowerBound, Int(product.high << 2 | product.low >> 62))
    }

    /// Multiplies every quantity in a value. Words, selectors and points in time stay as they are.
    static func scale(_ value: DocumentValue, by thousandths: Int) -> DocumentValue {
        func scaled(_ duration: Duration) -> Duration {
            let product = duration.nanoseconds.multipliedFullWidth(by: Int64(thousandths))
            guard product.high == 0, product.low < 1 << 62 else { return duration }
            // Whole microseconds where there are many: nobody wants to read 13 digits.
            let nanoseconds = Int64(product.low) / 1_000
            return .nanoseconds(nanoseconds >= 100_000 ? nanoseconds / 1_000 * 1_000 : nanoseconds)
        }
        switch value {
        case .integer(let number): return .integer(number == 0 ? 0 : max(1, number * thousandths / 1_000))
        case .string(let text):
            if let duration = Quantity.duration(text) { return .string(Quantity.print(scaled(duration))) }
            if let range = Quantity.durationRange(text) {
                return .string(Quantity.print(scaled(range.lowerBound)...scaled(range.upperBound)))
            }
            if text.hasPrefix("exp("), let mean = Quantity.duration(text.dropFirst(4).dropLast()) {
                return .string("exp(\(Quantity.print(scaled(mean))))")
            }
            if let share = Quantity.share(text) {
                return .string(Quantity.print(share: UInt32(min(1_000_000, UInt64(share) * UInt64(thousandths) / 1_000))))
            }
            if let bytes = Quantity.bytes(text) { return .string(Quantity.print(bytes: max(1, bytes * thousandths / 1_000))) }
            return value
        case .table(let entries):
            return .table(
                entries.map { entry in
                    if case .string = entry.value { return DocumentValue.Entry(key: entry.key, value: scale(entry.value, by: thousandths)) }
                    return entry
                })
        case .array(let values): return .array(values.map { scale($0, by: thousandths) })
        case .number, .boolean: return value
        }
    }
}

extension DocumentValue {
    /// True when some value is a point in time that hangs on the fault.
    func mentions(fault id: String) -> Bool {
        switch self {
        case .string(let text): ["start", "end"].contains { text == "\(id).\($0)" || text.hasPrefix("\(id).\($0) ") }
        case .array(let values): values.contains { $0.mentions(fault: id) }
        case .table(let entries): entries.contains { $0.value.mentions(fault: id) }
        case .integer, .number, .boolean: false
        }
    }
}
