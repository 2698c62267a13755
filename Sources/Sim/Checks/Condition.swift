import PatinaProtocol
import PatinaTOML

/// `where` of a check: of which occurrences, or measured versions, it speaks. Terms that must all be true.
public struct Condition: Hashable, Sendable {
    var terms: [Term]

    struct Term: Hashable, Sendable {
        var isNegated: Bool
        var test: Test
    }

    enum Test: Hashable, Sendable {
        /// A fault is active, or was until so long ago.
        case during(String, margin: Duration)
        /// A node of an occurrence is among these.
        case among(Role, Selector)
        /// The node's process runs.
        case up(Role)
        /// Nothing acknowledged can travel between observer and target.
        case partitioned
    }

    /// Who takes part in what a check is about.
    enum Role: String, CaseIterable, Sendable {
        /// Who says it; for `propagation`, where a version becomes visible.
        case observer
        /// About whom it is said; for `propagation`, where the version was written.
        case target
    }

    /// What is wrong with a text, and what somebody may have meant.
    struct Mistake: Error {
        let message: String
        var suggestion: String?
    }

    static let example = "\"not during(cut)\", \"observer in region:ams and target in node:0-3\" or \"not partitioned(observer, target)\""
    private static let words = ["not", "during", "partitioned", "observer in", "target in", "target.up", "observer.up"]

    /// Reads terms that are joined by "and".
    static func parse(_ text: String) throws(Mistake) -> Condition {
        var terms: [Term] = []
        for part in text.split(separator: " and ", omittingEmptySubsequences: false) { terms.append(try term(Quantity.trim(part))) }
        return Condition(terms: terms)
    }

    private static func term(_ text: String) throws(Mistake) -> Term {
        if text.hasPrefix("not ") {
            let inner = try term(Quantity.trim(text.dropFirst(4)))
            return Term(isNegated: !inner.isNegated, test: inner.test)
        }
        if let arguments = arguments(of: "during", text) {
            guard (1...2).contains(arguments.count), !arguments[0].isEmpty else {
                throw Mistake(message: "\"\(text)\": during needs a fault and perhaps a time after it, such as during(cut, 5s)")
            }
            guard arguments.count == 2 else { return Term(isNegated: false, test: .during(arguments[0], margin: .zero)) }
            guard let margin = Quantity.duration(arguments[1]) else {
                throw Mistake(message: "\"\(text)\": \"\(arguments[1])\" is no time; expected something like during(cut, 5s)")
            }
            return Term(isNegated: false, test: .during(arguments[0], margin: margin))
        }
        if let arguments = arguments(of: "partitioned", text) {
            guard arguments == ["observer", "target"] || arguments == ["target", "observer"] else {
                throw Mistake(message: "\"\(text)\" is not understood", suggestion: "partitioned(observer, target)")
            }
            return Term(isNegated: false, test: .partitioned)
        }
        for role in Role.allCases {
            if text == "\(role.rawValue).up" { return Term(isNegated: false, test: .up(role)) }
            guard text.hasPrefix("\(role.rawValue) in ") else { continue }
            let word = Quantity.trim(text.dropFirst(role.rawValue.utf8.count + 4))
            guard let selector = Selector.parse(word), selector.isFixed else {
                throw Mistake(message: "\"\(word)\" in \"\(text)\" is no fixed selection; expected \"*\", \"node:3-7\" or \"region:ams\"")
            }
            return Term(isNegated: false, test: .among(role, selector))
        }
        let head = String(text.prefix { $0 != "(" })
        throw Mistake(
            message: "\"\(text)\" is no condition; expected terms like \(example), joined by \"and\"",
            suggestion: Spelling.nearest(to: head, among: words))
    }

    /// What stands in brackets after a word, at the commas; nil for another text.
    private static func arguments(of word: String, _ text: String) -> [String]? {
        guard text.hasPrefix("\(word)("), text.hasSuffix(")") else { return nil }
        return text.dropFirst(word.utf8.count + 1).dropLast().split(separator: ",", omittingEmptySubsequences: false).map {
            Quantity.trim($0)
        }
    }

    /// The form that `parse` reads.
    public var text: String {
        terms.map { term in
            let test =
                switch term.test {
                case .during(let id, let margin): margin == .zero ? "during(\(id))" : "during(\(id), \(Quantity.print(margin)))"
                case .among(let role, let selector): "\(role.rawValue) in \(selector.text)"
                case .up(let role): "\(role.rawValue).up"
                case .partitioned: "partitioned(observer, target)"
                }
            return term.isNegated ? "not \(test)" : test
        }.joined(separator: " and ")
    }

    /// True when some term is about the target of an occurrence.
    var needsTarget: Bool {
        terms.contains { term in
            switch term.test {
            case .partitioned, .among(.target, _), .up(.target): true
            case .during, .among(.observer, _), .up(.observer): false
            }
        }
    }

    /// The faults that terms name.
    var faults: [String] { terms.compactMap { if case .during(let id, _) = $0.test { id } else { nil } } }

    /// Without the terms that say "not during" a fault that is not there.
    func keeping(faults: [String]) -> Condition {
        Condition(
            terms: terms.filter { term in
                guard term.isNegated, case .during(let id, _) = term.test else { return true }
                return faults.contains { Self.names(id, $0) }
            })
    }

    /// True when `id` means the fault `other`: itself, or one of the strikes that shrinking has made of it.
    static func names(_ id: String, _ other: String) -> Bool {
        if other == id { return true }
        guard other.hasPrefix(id + "-") else { return false }
        return other.dropFirst(id.utf8.count + 1).allSatisfy { $0.isNumber || $0 == "-" }
    }
}

/// What a condition is asked about: something that happened, or a version on its way.
struct Happened {
    let observer: Int
    var target: Int?
    /// When it began and when it was over; equal for what happens at once.
    let from: Instant
    let to: Instant
}

extension Simulation {
    /// Something happened at a node that checks may be about. `detail` goes on behind the node's name.
    func occurred(_ occasion: Check.Occasion, at host: Host, about target: Int? = nil, _ detail: @autoclosure () -> String) {
        checks.occurred(occasion, at: clock.now, "node:\(host.index)\(detail())")
        guard checks.hasConditions else { return }
        let happened = Happened(observer: host.index, target: target, from: clock.now, to: clock.now)
        for (check, condition) in checks.conditions(on: occasion) where holds(condition, for: happened) {
            checks.occurred(inCheck: check, at: clock.now, "node:\(host.index)\(detail())")
        }
    }

    /// A version of `origin` became visible at a node.
    func measured(_ latency: Duration, of origin: Int, at host: Host) {
        guard checks.hasConditions else { return }
        let happened = Happened(observer: host.index, target: origin, from: clock.now - latency, to: clock.now)
        for (check, condition) in checks.latencyConditions where holds(condition, for: happened) {
            checks.measured(latency, inCheck: check)
        }
    }

    func holds(_ condition: Condition, for happened: Happened) -> Bool {
        condition.terms.allSatisfy { term in holds(term.test, for: happened) != term.isNegated }
    }

    private func holds(_ test: Condition.Test, for happened: Happened) -> Bool {
        func node(_ role: Condition.Role) -> Int? { role == .observer ? happened.observer : happened.target }
        switch test {
        case .during(let id, let margin):
            return faults.occurrences.contains { strike in
                Condition.names(id, scenario.faults[strike.fault].id) && strike.start <= happened.to
                    && (strike.end.map { happened.from <= $0 + margin } ?? true)
            }
        case .among(let role, let selector):
            guard let node = node(role) else { return false }
            return switch selector {
            case .all: true
            case .nodes(let range): range.contains(node)
            case .region(let name): scenario.topology.region(of: node)?.name == name
            case .random, .share, .rest: preconditionFailure("a condition selects the same nodes in every run: read so")
            }
        case .up(let role): return node(role).map { hosts[$0].isUp } ?? false
        case .partitioned:
            guard let target = happened.target, target != happened.observer else { return false }
            return !network.wasWhole(between: happened.observer, and: target, since: happened.to)
        }
    }
}
