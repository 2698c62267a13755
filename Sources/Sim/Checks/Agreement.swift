import PatinaProtocol

/// Whether all nodes say the same.
enum Agreement {
    /// Nil when all digests are equal; else a sentence that names two nodes that differ, and how many groups there are.
    static func difference(in what: String, among nodes: [(node: Int, digest: Fingerprint)]) -> String? {
        guard let first = nodes.first, let other = nodes.first(where: { $0.digest != first.digest }) else { return nil }
        let groups = Set(nodes.map(\.digest)).count
        let minority = nodes.count(where: { $0.digest != first.digest })
        return "\(what) differ: \(groups) groups; node:\(first.node) has \(first.digest), node:\(other.node) has \(other.digest), "
            + "\(minority) of \(nodes.count) nodes differ from node:\(first.node)"
    }
}
