import PatinaProtocol

/// What a run of real agents leaves behind: all that its judgement rests on. Times are those of the machine's monotonic clock.
package struct LiveEvidence: Sendable {
    package var scenario: Scenario
    package var seed: UInt64
    package var faults: FaultPlan
    /// When the scenario began.
    package var zero: Instant
    /// The processes, in any order.
    package var lives: [Life] = []
    package var pauses: [Pause] = []
    /// Transactions that agents said are committed, in any order.
    package var acknowledged: [Acknowledged] = []
    /// Rows of transactions whose answer never came: they may be there or not.
    package var uncertain: [RowWrite] = []
    package var refused: UInt64 = 0
    /// By agent what its tables held at the end; nil for one that was not running.
    package var tables: [Tables?] = []
    /// By agent what the verification of its database found after the end; nil where there was none.
    package var verification: [[String]?] = []
    package var network = Network()
    /// What went wrong with agents that no fault asked for, a sentence each.
    package var incidents: [String] = []
    /// Numbers that only a live run has; they follow the others in the report.
    package var measurements: [SimulationReport.Metric] = []

    package init(scenario: Scenario, seed: UInt64, faults: FaultPlan, zero: Instant) {
        self.scenario = scenario
        self.seed = seed
        self.faults = faults
        self.zero = zero
    }

    /// One process of an agent.
    package struct Life: Sendable {
        package var node: Int
        /// Counts the processes of that agent from 1.
        package var number: Int
        package var log: Log
        /// Nil: it ran until the run was over.
        package var ended: Instant?

        package init(node: Int, number: Int, log: Log, ended: Instant?) {
            self.node = node
            self.number = number
            self.log = log
            self.ended = ended
        }
    }

    /// Where the event log of a process is.
    package enum Log: Sendable {
        case file(String)
        case bytes([UInt8])
    }

    /// A time that an agent stood still.
    package struct Pause: Sendable {
        package var node: Int
        package var from: Instant
        /// Nil: to the end of the run, or of the process.
        package var to: Instant?

        package init(node: Int, from: Instant, to: Instant?) {
            self.node = node
            self.from = from
            self.to = to
        }
    }

    package struct Acknowledged: Sendable {
        package var node: Int
        package var actor: ActorID
        package var version: UInt64
        /// Those that the transaction changed.
        package var rows: [RowWrite]

        package init(node: Int, actor: ActorID, version: UInt64, rows: [RowWrite]) {
            self.node = node
            self.actor = actor
            self.version = version
            self.rows = rows
        }
    }

    /// The tables of the scenario as one agent has them.
    package enum Tables: Sendable {
        /// For each table its rows in the order of the keys: the key columns, then the others.
        case rows([[[Value]]])
        case unreadable(String)
    }

    /// What the relay counted.
    package struct Network: Sendable {
        package var delivered: UInt64 = 0
        package var deliveredBytes: UInt64 = 0
        package var lost: UInt64 = 0
        package var doubled: UInt64 = 0
        package var queueFull: UInt64 = 0
        package var cut: UInt64 = 0
        package var corrupted: UInt64 = 0
        package var unroutable: UInt64 = 0
        /// Since the scenario began; nil when none was lost to a rate of loss.
        package var firstLoss: Instant?

        package init() {}
    }
}
