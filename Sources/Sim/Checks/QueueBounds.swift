import PatinaProtocol

/// The checker `queues-bounded`.
///
/// Verified at every look: what a node says of its queues is within the scenario's limits, whatever limits it uses itself. Not verified:
/// that the node counts right; `Node.checkInvariants` recounts.
enum QueueBounds {
    static func problem(_ status: NodeStatus, _ limits: Limits) -> String? {
        let bounds: [(String, Int, Int)] = [
            ("pending chunks", status.pendingChunks, limits.pendingChunks), ("cached chunks", status.cachedChunks, limits.cachedChunks),
            ("missing chunks", status.missingChunks, limits.missingChunks), ("own sessions", status.ownSessions, limits.ownSessions),
            ("served sessions", status.servedSessions, limits.servedSessions),
        ]
        return bounds.first { $0.1 > $0.2 }.map { "\($0.1) \($0.0), more than \($0.2)" }
    }
}

/// The checker `bytes-bounded`: the same for bytes. One chunk larger than the bound is allowed, or it could never be handled.
enum ByteBounds {
    static func problem(_ status: NodeStatus, _ limits: Limits) -> String? {
        if status.pendingBytes > limits.pendingBytes, status.pendingChunks > 1 {
            return "\(status.pendingBytes) pending bytes in \(status.pendingChunks) chunks, more than \(limits.pendingBytes)"
        }
        if status.cachedBytes > limits.cachedBytes, status.cachedChunks > 1 {
            return "\(status.cachedBytes) cached bytes in \(status.cachedChunks) chunks, more than \(limits.cachedBytes)"
        }
        return nil
    }
}
