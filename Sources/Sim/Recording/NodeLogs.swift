import PatinaProtocol

/// The event logs of the nodes of a run, one for each life of each: what a recorded agent writes (`docs/event-log.md`).
struct NodeLogs {
    private var logs: [(host: Int, writer: EventLogWriter)] = []
    /// Which of them is of the present life of a host.
    private var present: [Int: Int] = [:]

    /// A process starts.
    mutating func begin(
        _ host: Int, wall: Int64, now: Instant, configuration: NodeConfiguration, ledger: VersionLedger, members: [MemberRecord]
    ) {
        let header = EventLogHeader(
            build: "simulated", wall: wall, start: now, detail: .whole, configuration: configuration, ledger: ledger, members: members)
        guard let writer = EventLogWriter(header) else { preconditionFailure("the header of a simulated node fits a record") }
        present[host] = logs.count
        logs.append((host, writer))
    }

    mutating func append(_ event: Event, of host: Int, now: Instant, effects: [Effect]) {
        guard let index = present[host] else { preconditionFailure("a node that handles events has a log") }
        guard logs[index].writer.append(event, now: now, effects: effects) else {
            preconditionFailure("an event of a simulated node fits a record")
        }
    }

    /// The logs so far, each with its end, in the order in which the processes were started.
    mutating func take() -> [(host: Int, bytes: [UInt8])] {
        defer { self = NodeLogs() }
        return logs.map { log in
            var writer = log.writer
            writer.finish(.shutdown)
            return (log.host, writer.take())
        }
    }
}
