import PatinaProtocol
import PatinaStore

/// The mistakes behind three outages: a stall that spreads, attempts without a pause, a migration that rewrites every row.
extension Simulation {
    /// What a node sends that waits for whoever does not take what it was sent. Timers and the store go on.
    func waiting(_ effect: Effect, of host: Host) -> [Effect] {
        switch effect {
        case .sendDatagram, .sendMessage, .openSession, .writeSession, .finishSession, .resetSession: break
        case .store, .schedule, .notify, .measure: return [effect]
        }
        if let peer = host.waitsFor, hosts[peer].pausedBy > 0 {
            host.heldBack.append(effect)
            return []
        }
        let released = host.heldBack
        host.heldBack = []
        host.waitsFor = nil
        if case .sendMessage(let address, _) = effect, let peer = Host.index(of: address, among: hosts.count), hosts[peer].pausedBy > 0 {
            host.waitsFor = peer
            host.heldBack = [effect]
            return released
        }
        return released + [effect]
    }

    /// Writes something into the columns that a table has and no workload knows.
    func backfill(_ host: Host) {
        guard let process = host.process else { return }
        for table in workloads.tables {
            do throws(StoreError) {
                let reader = try process.store.makeReader()
                defer { reader.close() }
                let known = (table.keys + table.values).map(\.name)
                let cursor = try reader.prepare(Statement("SELECT * FROM \(TableShape.quote(table.name)) LIMIT 0"))
                let added = cursor.columns.filter { !known.contains($0) }
                for name in added {
                    let sql = "UPDATE \(TableShape.quote(table.name)) SET \(TableShape.quote(name)) = ''"
                    let outcome = try process.store.transact([Statement(sql)])
                    if outcome.version != nil { deliver(.transactionCommitted(outcome.chunks), to: host) }
                }
            } catch {
                storeFailures.append("node:\(host.index) at \(clock.now): the backfill failed: \(error)")
            }
        }
    }

    /// A packet of membership whose digest is the reader's own.
    func withOwnDigest(_ bytes: [UInt8], at host: Host) -> [UInt8] {
        guard let process = host.process, bytes.count > Envelope.overhead, bytes[3] == MessageKind.membership.rawValue else { return bytes }
        var reader = ByteReader(bytes[Envelope.overhead...])
        // Pings and acknowledgements: kind, sender, and a body of a number, an actor and the digest.
        guard let kind = try? reader.readByte(), kind == 1 || kind == 2, (try? reader.readBytes()) != nil,
            var body = try? reader.readRecord(),
            (try? body.readVarint()) != nil, (try? body.readActor()) != nil, body.remaining >= 16
        else { return bytes }
        var writer = ByteWriter()
        writer.write(process.node.ledger.fingerprint)
        var bytes = bytes
        let start = body.rest.startIndex
        bytes.replaceSubrange(start..<(start + 16), with: writer.bytes)
        return bytes
    }
}
