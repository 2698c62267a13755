import PatinaProtocol
import PatinaStore

/// The places where a run is recorded. Nothing here changes what happens, and without a recorder each costs one comparison.
extension Simulation {
    /// Records everything from now on. Call it before the run begins.
    func startRecording() {
        let recorder = RunRecorder(nodes: scenario.topology.nodes, duration: scenario.duration)
        self.recorder = recorder
        heap.push(.sample, at: recorder.interval)
    }

    /// A message left, and will arrive at `arrival`; nil: the network lost it.
    @inline(__always)
    func recordSent(_ bytes: [UInt8], _ transport: RecordedMessage.Transport, from: Int, to: Int, arrival: Instant?) {
        if let recorder { recordSent(bytes, transport, from: from, to: to, arrival: arrival, by: recorder) }
    }

    private func recordSent(
        _ bytes: [UInt8], _ transport: RecordedMessage.Transport, from: Int, to: Int, arrival: Instant?, by recorder: RunRecorder
    ) {
        if let first = checks.firstViolation { recorder.violated(at: first) }
        recorder.sent(
            RecordedMessage(
                from: from, to: to, sent: clock.now.nanoseconds, arrival: arrival?.nanoseconds,
                traffic: transport == .session ? .sync : TrafficClass(of: bytes), transport: transport, bytes: bytes.count))
    }

    /// Asks the observers what they see and know.
    func sample() {
        guard let recorder else { return }
        var right = 0
        var all = 0
        var worst: UInt64 = 0
        var total: UInt64 = 0
        var live = 0
        let acknowledgedVersions = metrics.versionsAcknowledged
        let up = hosts.count(where: \.isUp)
        for index in recorder.observers {
            guard let process = hosts[index].process else { continue }
            live += 1
            var present = 0
            var wrong = 0
            for member in process.node.members where member.state.isPresent {
                guard let other = hostOf[member.record.actor], other != index else { continue }
                if hosts[other].isUp { present += 1 } else { wrong += 1 }
            }
            right += present
            all += up - 1 + wrong
            let missing = Self.missing(in: process.store.ledger, of: acknowledgedVersions)
            worst = max(worst, missing)
            total += missing
        }
        recorder.sampled(
            RunRecorder.Sample(
                at: clock.now.nanoseconds, agreement: live == 0 ? nil : all == 0 ? 1_000_000 : right * 1_000_000 / all, missingWorst: worst,
                missingMean: live == 0 ? 0 : total * 1_000 / UInt64(live), liveNodes: up))
        if clock.now.nanoseconds < recorder.duration {
            heap.push(.sample, at: min(recorder.duration, clock.now.nanoseconds + recorder.interval))
        }
    }

    /// How many of `wanted` versions a ledger does not have in full. Counts them; which ones is for the checkers.
    static func missing(in ledger: VersionLedger, of wanted: UInt64) -> UInt64 {
        var known: UInt64 = 0
        for actor in ledger.actors {
            guard let entry = ledger[actor] else { continue }
            known += entry.contiguous + entry.beyond.ranges.reduce(0) { $0 + UInt64($1.count) }
        }
        return wanted > known ? wanted - known : 0
    }
}

extension Simulation {
    func record(_ notice: Notice, at host: Host, by recorder: RunRecorder) {
        recorder.noticed(notice, node: host.index, at: clock.now) { identity in
            hostOf[identity].map { "node:\($0)" } ?? "\(identity)"
        }
    }
}
