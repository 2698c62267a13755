import PatinaProtocol

/// What can happen to the disk of a node.
package enum DiskFault: Hashable, Sendable {
    /// The machine is off, and of what was not synced only a part is there when it comes back.
    ///
    /// `takesReservation`: the reservation of version numbers is not, although it was synced.
    case powerLoss(takesReservation: Bool)
    /// The power goes in the middle of the next write: some sectors of it are there, some are not.
    case tornWrite
    /// The machine is off, and some bits of a file are turned over when it comes back.
    case bitFlip(File, bits: Int)
    /// A share of the operations, in parts per million, fails with EIO.
    case errors(Operation, share: UInt32)
    /// No file can grow: ENOSPC.
    case full
    /// Each sync takes this long.
    case slow(sync: ClosedRange<Duration>)
    /// The machine comes back with an empty disk. What opens its database is somebody new: with another identity.
    case wipe
    /// The machine comes back with its database as a copy has it.
    case restoreBackup(Reservation)

    /// Why real agents do not suffer it: `FaultKind.notLive`.
    package static let needsOwnDisk =
        "the disk of this machine loses nothing when a process is killed, and to make it fail takes a file system of one's own, and root"

    /// A file of a database.
    package enum File: String, Hashable, Sendable, CaseIterable {
        case database, log, reservation

        /// What its name has behind that of the database.
        package var suffix: String {
            switch self {
            case .database: ""
            case .log: "-wal"
            case .reservation: ".reservation"
            }
        }

        var path: String { Host.databasePath + suffix }
    }

    package enum Operation: String, Hashable, Sendable, CaseIterable { case read, write, sync }

    /// What becomes of the reservation of version numbers when a backup is put back.
    package enum Reservation: String, Hashable, Sendable, CaseIterable {
        /// It is there as it was: somebody copied the database over the old one.
        case kept
        /// It is not there: the machine is a new one.
        case lost
        /// It is as old as the database: somebody put the whole directory back, the one way that Patina cannot notice.
        case old
    }
}

/// Disks that break, or machines that come back with another disk.
package struct DiskAction: FaultAction {
    package let fault: DiskFault
    /// In ascending order.
    package let nodes: [Int]
    /// Tells the copies that this fault puts back from all others.
    package var mark: UInt64 = 0

    package func begin(in simulation: Simulation, strike: Int) { simulation.diskFaultStarts(self) }
    package func end(in simulation: Simulation, strike: Int) { simulation.diskFaultEnds(self) }
}

/// The disks of some machines are copied, to be put back later.
package struct BackupAction: FaultAction {
    package let nodes: [Int]
    package let mark: UInt64

    package func begin(in simulation: Simulation, strike: Int) {
        simulation.backups[mark] = [:]
        for node in nodes { simulation.backups[mark]?[node] = simulation.hosts[node].disk?.copy() }
    }

    package func end(in simulation: Simulation, strike: Int) {}
}

extension FaultKind {
    /// Disks. A scenario that has one of these gives every node a disk of its own.
    static let disks: [FaultKind] = [
        FaultKind(
            "power-loss", "the machine is off; of what was not synced, all, nothing or any part of the sectors is there afterwards",
            keys: [
                .select,
                FaultKey(
                    "reservation", .word(["kept", "lost"]), .word("kept"),
                    "of version numbers: `kept` as it was synced, or `lost` as well, so that only the clock is left to go by"),
            ], notLive: DiskFault.needsOwnDisk
        ) { planning in
            let takesReservation = planning.word("reservation") == "lost"
            return planning.whole(DiskAction(fault: .powerLoss(takesReservation: takesReservation), nodes: planning.nodes()))
        },
        FaultKind(
            "torn-write", "the power goes within the next few writes and cuts the last one at a sector; the machine is off until the end",
            keys: [.select], notLive: DiskFault.needsOwnDisk
        ) { planning in
            planning.whole(DiskAction(fault: .tornWrite, nodes: planning.nodes()))
        },
        FaultKind(
            "bit-flip", "the machine is off, and random bits of a file are turned over when it comes back",
            keys: [
                .select,
                FaultKey("file", .word(DiskFault.File.allCases.map(\.rawValue)), .word("log"), "`log`, `database` or `reservation`"),
                FaultKey("bits", .count(1...1_000_000), .count(1), "how many"),
            ], engines: [.sim, .live]
        ) { planning in
            let file = DiskFault.File(rawValue: planning.word("file")) ?? .log
            return planning.whole(DiskAction(fault: .bitFlip(file, bits: planning.count("bits")), nodes: planning.nodes()))
        },
        FaultKind(
            "disk-error", "operations fail with EIO; a process ends with the first that does, and is started again a second later",
            keys: [
                .select,
                FaultKey("operation", .word(DiskFault.Operation.allCases.map(\.rawValue)), .word("write"), "`read`, `write` or `sync`"),
                FaultKey("share", .share, .share(1_000_000), "of the operations"),
            ], notLive: DiskFault.needsOwnDisk
        ) { planning in
            let operation = DiskFault.Operation(rawValue: planning.word("operation")) ?? .write
            return planning.whole(DiskAction(fault: .errors(operation, share: planning.share("share")), nodes: planning.nodes()))
        },
        FaultKind(
            "disk-full", "no file can grow: writes fail with ENOSPC, and the node goes on", keys: [.select], notLive: DiskFault.needsOwnDisk
        ) { planning in
            planning.whole(DiskAction(fault: .full, nodes: planning.nodes()))
        },
        FaultKind(
            "slow-disk", "the disk is busy for some time with each sync, and later writes wait",
            keys: [
                .select,
                FaultKey("sync", .durations, .durations(.milliseconds(200)...(.milliseconds(300))), "how long a sync takes; at most 10s"),
            ], notLive: DiskFault.needsOwnDisk
        ) { planning in
            let sync = planning.durations("sync")
            let bounded = min(sync.lowerBound, .seconds(10))...min(sync.upperBound, .seconds(10))
            return planning.whole(DiskAction(fault: .slow(sync: bounded), nodes: planning.nodes()))
        },
        FaultKind(
            "wipe", "the machine comes back with an empty disk, and so with another identity at the same address", keys: [.select],
            engines: [.sim, .live]
        ) { planning in
            planning.whole(DiskAction(fault: .wipe, nodes: planning.nodes()))
        },
        FaultKind(
            "restore-backup", "the machine comes back with its database as it was some time before",
            keys: [
                .select, FaultKey("age", .duration, .duration(.seconds(5)), "how long before"),
                FaultKey(
                    "reservation", .word(DiskFault.Reservation.allCases.map(\.rawValue)), .word("kept"),
                    "of version numbers: `kept` as it is, `lost`, or `old` like the database, which nobody can notice"),
            ], engines: [.sim, .live]
        ) { planning in
            let nodes = planning.nodes()
            let mark = planning.random.next()
            let copied = max(.zero, planning.start - planning.duration("age"))
            let reservation = DiskFault.Reservation(rawValue: planning.word("reservation")) ?? .kept
            let restore = DiskAction(fault: .restoreBackup(reservation), nodes: nodes, mark: mark)
            return [
                Strike(start: copied, end: copied, action: BackupAction(nodes: nodes, mark: mark)),
                Strike(start: planning.start, end: planning.end, action: restore),
            ]
        },
    ]
}
