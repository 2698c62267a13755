import Glibc

/// Seconds of CPU time that this process has used, all threads, user and system.
func processorSeconds() -> Double { seconds(CLOCK_PROCESS_CPUTIME_ID) }

func wallSeconds() -> Double { seconds(CLOCK_MONOTONIC) }

private func seconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Which clock a rate is per second of.
enum TimeBase {
    case processor, wall

    func now() -> Double { self == .processor ? processorSeconds() : wallSeconds() }
}

/// Runs `body`, which does `count` units of work, and returns units per second.
func rate(_ count: Int, _ base: TimeBase = .processor, _ body: () throws -> Void) rethrows -> Double {
    let start = base.now()
    try body()
    return Double(count) / max(base.now() - start, 1e-9)
}

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return .nan }
    return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
}

/// The rounds of all measurements, by name in the order of first appearance.
struct Results {
    private struct Entry {
        let name: String
        let unit: String
        var values: [Double] = []
        var ratios: [Double] = []
    }

    private var entries: [Entry] = []

    /// Notes one round. `plain` is the figure of plain SQLite in the same round; nil where there is nothing to compare with.
    mutating func add(_ name: String, _ value: Double, unit: String, plain: Double?) {
        let index =
            entries.firstIndex { $0.name == name }
            ?? {
                entries.append(Entry(name: name, unit: unit))
                return entries.count - 1
            }()
        entries[index].values.append(value)
        if let plain { entries[index].ratios.append(value / plain) }
    }

    /// One JSON object per measurement: medians over the rounds.
    func printLines() {
        for entry in entries {
            let ratio = entry.ratios.isEmpty ? "null" : decimal(median(entry.ratios), places: 3)
            let value = decimal(median(entry.values), places: entry.unit == "bytes" || entry.unit == "s" ? 3 : 0)
            print("{\"name\": \"\(entry.name)\", \"value\": \(value), \"unit\": \"\(entry.unit)\", \"ratio_to_plain\": \(ratio)}")
        }
    }

    private func decimal(_ value: Double, places: Int) -> String {
        guard value.isFinite else { return "null" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let whole = Int((value * scale).rounded())
        guard places > 0 else { return "\(whole)" }
        let digits = String(whole % Int(scale))
        return "\(whole / Int(scale))." + String(repeating: "0", count: places - digits.count) + digits
    }
}
