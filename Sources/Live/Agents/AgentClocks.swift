import Foundation
import PatinaProtocol
import Synchronization

/// The errors of the agents' wall clocks, each in a small file that its agent looks into whenever it asks for the time.
final class AgentClocks: Sendable {
    private struct Entry {
        var offset: Int64 = 0
        /// Rates in millionths, and since when.
        var drifts: [(partsPerMillion: Int, since: Instant)] = []

        func nanoseconds(at now: Instant) -> Int64 {
            drifts.reduce(offset) { $0 + (now - $1.since).nanoseconds / 1_000_000 * Int64($1.partsPerMillion) }
        }
    }

    /// How often a drifting clock is moved on.
    private static let period: Duration = .milliseconds(100)

    private let files: AgentFiles
    private let entries: Mutex<[Entry]>

    /// - Parameter skews: how far each clock is off at first.
    init(_ files: AgentFiles, skews: [Duration]) {
        self.files = files
        entries = Mutex(
            skews.map { skew in
                var entry = Entry()
                entry.offset = skew.nanoseconds
                return entry
            })
        for node in skews.indices { write(node) }
    }

    func step(_ node: Int, by nanoseconds: Int64) {
        entries.withLock { $0[node].offset += nanoseconds }
        write(node)
    }

    func drift(_ node: Int, by partsPerMillion: Int) {
        entries.withLock { $0[node].drifts.append((partsPerMillion, Monotonic.now)) }
        write(node)
    }

    /// The clock is set right: what it gained is taken back at once.
    func endDrift(_ node: Int, of partsPerMillion: Int) {
        entries.withLock { entries in
            guard let index = entries[node].drifts.firstIndex(where: { $0.partsPerMillion == partsPerMillion }) else { return }
            entries[node].drifts.remove(at: index)
        }
        write(node)
    }

    /// Moves the clocks that drift, until the task is cancelled.
    func run() async throws {
        while true {
            try await Task.sleep(for: Self.period)
            for node in entries.withLock({ entries in entries.indices.filter { !entries[$0].drifts.isEmpty } }) { write(node) }
        }
    }

    /// Eight bytes, written over the old ones at once.
    private func write(_ node: Int) {
        let nanoseconds = entries.withLock { $0[node].nanoseconds(at: Monotonic.now) }
        let descriptor = open(files.clock(node), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        _ = withUnsafeBytes(of: nanoseconds.littleEndian) { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    }
}
