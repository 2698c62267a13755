/// The encoding of what a node knows: for each actor its head, the gaps below it and the partial versions.
extension SyncFrame.StateFrame {
    private static let lastFlag: UInt8 = 1

    init(from reader: inout ByteReader) throws(MalformedInput) {
        isLast = try reader.readByte() & Self.lastFlag != 0
        fingerprint = try reader.readFingerprint()
        let count = try reader.readListCount(of: "actors", least: 19)
        state = PeerState()
        state.actors.reserveCapacity(count)
        for _ in 0..<count {
            // One record for each actor, so that later builds may say more of it.
            let actor = try reader.readActor()
            var record = try reader.readRecord()
            let head = try record.readVarint()
            guard head > 0 else { throw MalformedInput("an actor of which nothing is known") }
            var entry = ActorState(actor: actor, head: head, gaps: try record.readIntervals())
            guard entry.gaps.max.map({ $0 < head }) ?? true else { throw MalformedInput("a gap that does not lie below the head") }
            let partials = try record.readListCount(of: "partial versions", least: 3)
            for _ in 0..<partials {
                let version = try record.readVarint()
                let lastSequence = try record.readVarint()
                let missing = try record.readIntervals()
                guard version > (entry.partials.last?.version ?? 0), version <= head else {
                    throw MalformedInput("partial versions do not ascend, or exceed the head")
                }
                guard missing.max.map({ $0 <= lastSequence }) ?? true else {
                    throw MalformedInput("a missing sequence number that the version does not have")
                }
                entry.partials.append(PartialState(version: version, lastSequence: lastSequence, missing: missing))
            }
            guard actor > (state.actors.last?.actor ?? ActorID(high: 0, low: 0)) || state.actors.isEmpty else {
                throw MalformedInput("the actors of a state do not ascend")
            }
            state.actors.append(entry)
        }
    }

    func write(to writer: inout ByteWriter) {
        writer.write(isLast ? Self.lastFlag : 0)
        writer.write(fingerprint)
        writer.writeVarint(UInt64(state.actors.count))
        for entry in state.actors {
            writer.write(entry.actor)
            writer.writeRecord { record in
                record.writeVarint(entry.head)
                record.writeIntervals(entry.gaps)
                record.writeVarint(UInt64(entry.partials.count))
                for partial in entry.partials {
                    record.writeVarint(partial.version)
                    record.writeVarint(partial.lastSequence)
                    record.writeIntervals(partial.missing)
                }
            }
        }
    }

    /// Cuts a state into frames of about `bytes` bytes each; at least one. An actor with very many gaps makes a larger one.
    static func frames(of state: PeerState, fingerprint: Fingerprint, bytes: Int) -> [SyncFrame] {
        var frames: [Self] = []
        var current = Self(fingerprint: fingerprint, isLast: false, state: PeerState())
        var size = 0
        for entry in state.actors {
            // Every range takes 2 to 20 bytes; 8 is what they take in practice.
            let partialRanges = entry.partials.reduce(0) { $0 + 2 + $1.missing.ranges.count }
            let estimate = 24 + 8 * (entry.gaps.ranges.count + partialRanges)
            if size > 0, size + estimate > bytes {
                frames.append(current)
                current.state.actors.removeAll()
                size = 0
            }
            current.state.actors.append(entry)
            size += estimate
        }
        current.isLast = true
        frames.append(current)
        return frames.map { .state($0) }
    }
}
