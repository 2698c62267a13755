import PatinaProtocol

/// The checker `incarnation-ascends`.
///
/// Verified: a process objects with a higher incarnation each time, as long as its generation is the same, and never with incarnation 0
/// of its first generation. Not verified: what others make of it; that is `declared-down`.
struct Incarnations {
    private struct Last {
        let life: Int
        let generation: UInt64
        let incarnation: UInt64
    }

    private var last: [Int: Last] = [:]

    /// What is wrong with an objection; nil when nothing is.
    mutating func refuted(_ incarnation: UInt64, at host: Int, life: Int, generation: UInt64) -> String? {
        defer { last[host] = Last(life: life, generation: generation, incarnation: incarnation) }
        guard let before = last[host], before.life == life, before.generation == generation else { return nil }
        guard incarnation <= before.incarnation else { return nil }
        return "objected with incarnation \(incarnation) after \(before.incarnation)"
    }
}
