import PatinaProtocol

/// What `patina sim faults` and `patina sim checks` print, from the code. The tables in `docs/scenarios.md` are the same, which a
/// test verifies.
public enum Catalogue {
    // MARK: Faults

    /// A table of all kinds of faults in Markdown.
    public static var faults: String {
        var lines = ["| kind | does | own keys | engines |", "|---|---|---|---|"]
        for kind in FaultKind.all {
            let keys = kind.keys.map { key in
                "`\(key.name)`\(key.fallback.map { " (\(plain($0.text)))" } ?? ""): \(key.summary)"
            }
            let engines = kind.engines.map(\.rawValue).joined(separator: ", ")
            lines.append(
                "| `\(kind.name)`\(kind.lasts ? "" : " (an instant)") | \(kind.summary) | \(keys.joined(separator: "; ")) | \(engines) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The same as a JSON object with the array `faults`.
    public static var faultsJSON: String {
        var writer = JSONWriter()
        writer.object {
            $0.array("faults", of: FaultKind.all) { kind, writer in
                writer.object {
                    $0.field("kind", kind.name)
                    $0.field("summary", kind.summary)
                    $0.field("lasts", kind.lasts)
                    $0.field("engines", number: "[\(kind.engines.map { JSONWriter.quote($0.rawValue) }.joined(separator: ", "))]")
                    $0.array("keys", of: kind.keys) { key, writer in
                        writer.object {
                            $0.field("key", key.name)
                            $0.field("default", number: key.fallback.map { JSONWriter.quote(plain($0.text)) } ?? "null")
                            $0.field("summary", key.summary)
                        }
                    }
                }
            }
        }
        return writer.text + "\n"
    }

    // MARK: Checks

    /// A table of everything that can be checked, in Markdown.
    public static var checks: String {
        var lines = ["| check | holds when |", "|---|---|"]
        for entry in CheckEntry.all { lines.append("| `\(entry.check)` | \(entry.summary) |") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The same as a JSON object with the array `checks`.
    public static var checksJSON: String {
        var writer = JSONWriter()
        writer.object {
            $0.array("checks", of: CheckEntry.all) { entry, writer in
                writer.object {
                    $0.field("check", entry.check)
                    $0.field("summary", entry.summary)
                }
            }
        }
        return writer.text + "\n"
    }

    // MARK: Mutants

    /// A table of all mutants in Markdown.
    public static var mutants: String {
        let lines = Mutant.allCases.map { "| `\($0.rawValue)` | \($0.summary) |" }
        return (["| mutant | what is wrong |", "|---|---|"] + lines).joined(separator: "\n") + "\n"
    }

    // MARK: Chaos

    /// A table of all chaos points in Markdown.
    public static var chaos: String {
        let lines = ChaosPoint.allCases.map { "| `\($0.name)` | \($0.summary) |" }
        return (["| point | what happens there |", "|---|---|"] + lines).joined(separator: "\n") + "\n"
    }

    /// The same as a JSON object with the array `points`.
    public static var chaosJSON: String {
        var writer = JSONWriter()
        writer.object {
            $0.array("points", of: ChaosPoint.allCases) { point, writer in
                writer.object {
                    $0.field("point", point.name)
                    $0.field("summary", point.summary)
                }
            }
        }
        return writer.text + "\n"
    }

    /// Without the quotation marks of TOML.
    private static func plain(_ text: String) -> String {
        text.hasPrefix("\"") && text.hasSuffix("\"") && text.utf8.count >= 2 ? String(text.dropFirst().dropLast()) : text
    }
}

/// A line of the table of checks.
struct CheckEntry {
    let check: String
    let summary: String

    static var all: [CheckEntry] {
        Check.Invariant.allCases.map { CheckEntry(check: "always = \"\($0.rawValue)\"", summary: $0.summary) }
            + Check.Goal.allCases.map { CheckEntry(check: "eventually = \"\($0.rawValue)\"", summary: $0.summary) }
            + Check.Occasion.allCases.map { CheckEntry(check: "never = \"\($0.rawValue)\"", summary: "it does not happen: \($0.summary)") }
            + [
                CheckEntry(check: "sometimes = …", summary: "one of the words of `never`: it happens in one of the scenario's seeds"),
                CheckEntry(check: "metric = …", summary: "a number of the report is `at_most` and `at_least` what the check says"),
            ]
    }
}

extension Check.Invariant {
    var summary: String {
        switch self {
        case .noAcknowledgedWriteLost:
            "at the end every acknowledged version is complete at every live node and its cells are there or were superseded; on the way, "
                + "at the node that acknowledged it"
        case .bookkeepingMatchesRows:
            "rows, clocks and bookkeeping of a store agree: looked at once a second at one node in turn, and at the end at all"
        case .matchesOracle:
            "at the end the rows of every live node that has all versions are what an independent model of the merge says; no live node "
                + "having them all is a failure"
        case .ledgerMatchesStore: "at the end a node with no store operation under way knows exactly the versions that its store has"
        case .gapsWellFormed:
            "what a node says of an actor's versions fits together: ranges ascend and do not touch, and what is partial is not complete"
        case .noVersionFromNowhere: "no node knows a version of an actor that this actor's own store never had"
        case .noDuplicateApply: "no process says twice that a version became complete"
        case .incarnationAscends: "each objection of a process to a suspicion has a higher incarnation than the one before"
        case .noResurrection: "no node that was declared down, or left, comes back at the same observer with the same generation"
        case .queuesBounded: "the queues and caches of a node hold at most what `limits` allows"
        case .bytesBounded: "the queues and caches of a node hold at most the bytes that `limits` allows"
        }
    }
}

extension Check.Goal {
    var summary: String {
        switch self {
        case .converged: "all live nodes have equal ledgers and equal rows at some moment between `after` and `within` later"
        case .membersAgree: "the members that each live node believes in are the live nodes, at some moment of the window"
        case .caughtUp: "all live nodes know every version that any live node knew at `after`; holds under writes, too"
        }
    }
}

extension Check.Occasion {
    var summary: String {
        switch self {
        case .declaredDown: "a live node is declared down by one that it has exchanged traffic with undisturbed for `grace` (10s)"
        case .suspected: "a node is suspected"
        case .refuted: "a node refutes a suspicion"
        case .lazyRepair: "a chunk comes in answer to a graft"
        case .syncRepair: "a sync session brings something"
        case .datagramLost: "a datagram is lost"
        case .limitReached: "a bound of `Limits` is reached"
        case .malformedInput: "a node gets what it cannot read"
        case .chunkRefused: "a store refuses a chunk"
        case .storeFailed: "a store fails"
        case .laterKindSkipped: "a message, record, item or frame of a later wire version is skipped"
        case .versionReused: "two acknowledged transactions have one version of one actor; recorded where nodes have disks"
        }
    }
}
