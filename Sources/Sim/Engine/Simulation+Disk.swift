import OrderedCollections
import PatinaProtocol
import PatinaStore

/// Disks that break. Only scenarios that ask for it have them; in all others the databases are in memory and lose nothing.
extension Simulation {
    /// How long a supervisor waits before it starts a process again that ended by itself.
    static let restartDelay: Duration = .seconds(1)

    /// Where the store of a machine lives. The disk is made with the first process.
    func storeLocation(of host: Host) throws(StoreError) -> StoreLocation {
        guard scenario.hasDisks else {
            if host.anchor == nil { host.anchor = try MemoryAnchor(name: host.storeName, template: try storeTemplate()) }
            return .memory(name: host.storeName)
        }
        if let disk = host.disk { return disk.location(Host.databasePath) }
        let wall = host.wall
        let disk = SimulatedDisk(random: host.nodeRandom.fork("disk")) { wall.nanoseconds }
        host.disk = disk
        return disk.location(Host.databasePath)
    }

    /// The empty database that those in memory begin as.
    func storeTemplate() throws(StoreError) -> StoreTemplate {
        if let template { return template }
        if let probe = scenario.probe, probe.schema == scenario.schema { return probe.template }
        let made = try StoreTemplate(scenario.schema)
        template = made
        return made
    }

    /// The files of the process end with it, before its store is closed: closing must not save what a kill would lose.
    func endDisk(of host: Host) { host.disk?.endProcess() }

    // MARK: Faults

    func diskFaultStarts(_ action: DiskAction) {
        for node in action.nodes {
            let host = hosts[node]
            guard let disk = host.disk else { continue }
            switch action.fault {
            case .powerLoss(let takesReservation):
                host.heldDownBy += 1
                losePower(host, disk)
                if takesReservation { disk.replace([DiskFault.File.reservation.path: nil]) }
            case .tornWrite:
                host.heldDownBy += 1
                disk.writesUntilPowerLoss = 1 + host.diskRandom.below(4)
                if !host.isUp { losePower(host, disk) }
            case .bitFlip(let file, let bits):
                host.heldDownBy += 1
                crash(host)
                for _ in 0..<bits { _ = disk.flipBit(in: file.path) }
                host.hasLostData = true
            case .errors(let operation, let share):
                switch operation {
                case .read: disk.faults.readErrors = share
                case .write: disk.faults.writeErrors = share
                case .sync: disk.faults.syncErrors = share
                }
            case .full: disk.faults.capacity = 0
            case .slow(let sync): host.syncTime = sync
            case .wipe:
                host.heldDownBy += 1
                crash(host)
                disk.wipe()
                replaceIdentity(of: host)
            case .restoreBackup(let reservation):
                host.heldDownBy += 1
                crash(host)
                restore(host, disk, from: backups[action.mark]?[node] ?? [:], reservation)
            }
        }
    }

    func diskFaultEnds(_ action: DiskAction) {
        for node in action.nodes {
            let host = hosts[node]
            guard host.disk != nil else { continue }
            switch action.fault {
            case .powerLoss, .bitFlip, .wipe, .restoreBackup: host.heldDownBy -= 1
            case .tornWrite:
                host.heldDownBy -= 1
                // It did not write meanwhile.
                if host.isUp, let disk = host.disk, disk.writesUntilPowerLoss != nil { disk.writesUntilPowerLoss = nil }
            case .errors(let operation, _):
                switch operation {
                case .read: host.disk?.faults.readErrors = 0
                case .write: host.disk?.faults.writeErrors = 0
                case .sync: host.disk?.faults.syncErrors = 0
                }
            case .full: host.disk?.faults.capacity = nil
            case .slow: host.syncTime = nil
            }
            start(host)
        }
    }

    private func losePower(_ host: Host, _ disk: SimulatedDisk) {
        crash(host)
        disk.losePower()
        guard host.settings.machine.synchronous == .normal else { return }
        host.hasLostData = true
        host.writer += hosts.count
    }

    private func replaceIdentity(of host: Host) {
        host.writer += hosts.count
        host.hasLostData = true
        var identities = host.nodeRandom.fork("identity", UInt64(host.writer))
        host.identity = ActorID.random(using: &identities)
        hostOf[host.identity] = host.index
    }

    private func restore(
        _ host: Host, _ disk: SimulatedDisk, from backup: OrderedDictionary<String, [UInt8]>, _ reservation: DiskFault.Reservation
    ) {
        host.writer += hosts.count
        host.hasLostData = true
        var contents: OrderedDictionary<String, [UInt8]?> = [:]
        for file in [DiskFault.File.database, .log] { contents[file.path] = .some(backup[file.path]) }
        switch reservation {
        case .kept: break
        case .lost: contents[DiskFault.File.reservation.path] = .some(nil)
        case .old: contents[DiskFault.File.reservation.path] = .some(backup[DiskFault.File.reservation.path])
        }
        disk.replace(contents)
    }

    // MARK: What comes of them

    /// The store of a machine said no. Returns true when the scenario's disk is to blame.
    ///
    /// A full disk refuses the one operation. Any other error of the storage ends the process, as the agent does; its supervisor starts
    /// it again, but not when the database is damaged: that is for an operator.
    func storeFailed(at host: Host, _ reason: String) -> Bool {
        occurred(.storeFailed, at: host, ": \(reason)")
        guard let disk = host.disk, disk.isDead || disk.faults != SimulatedDisk.Faults() || host.hasLostData else { return false }
        guard let failure = host.process?.store.failure else { return true }
        if disk.isDead {
            losePower(host, disk)
            return true
        }
        crash(host)
        if case .corrupt = failure { return true }
        restartLater(host)
        return true
    }

    /// The database of a machine could not be opened. Returns true when the scenario's disk is to blame.
    func openingFailed(at host: Host, _ error: StoreError) -> Bool {
        occurred(.storeFailed, at: host, ": \(error)")
        guard let disk = host.disk else { return false }
        let isBroken = disk.faults != SimulatedDisk.Faults()
        disk.endProcess()
        if case .corrupt = error { return isBroken || host.hasLostData }
        if isBroken { restartLater(host) }
        return isBroken
    }

    private func restartLater(_ host: Host) { heap.push(.hostStarts(host.index), at: (clock.now + Self.restartDelay).nanoseconds) }

    /// The disk is busy with the syncs of what was just done; the next write waits for them.
    func chargeSyncs(to host: Host) {
        guard let disk = host.disk else { return }
        let count = disk.takeSyncs()
        guard count > 0, let time = host.syncTime else { return }
        for _ in 0..<count { host.diskFree = max(clock.now, host.diskFree) + host.diskRandom.duration(in: time) }
    }
}
