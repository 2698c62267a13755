/// What one node says about a member: the unit in which news of the member list travels.
struct MemberClaim: Hashable, Sendable {
    var record: MemberRecord
    var incarnation: UInt64
    var state: Member.State
    /// Marks of those whose own probes failed; only of a suspect. At most `markLimit` are kept.
    var marks: [UInt32]

    /// The first suspecter and as many confirmations as may shorten a suspicion.
    static let markLimit = 4
    /// The highest generation and incarnation that a claim may have. Half of the numbers are left, so that a member
    /// that is told a wild number about itself can still name a higher one.
    static let counterLimit: UInt64 = 1 << 62

    init(record: MemberRecord, incarnation: UInt64, state: Member.State, marks: [UInt32] = []) {
        self.record = record
        self.incarnation = incarnation
        self.state = state
        self.marks = marks
    }

    var precedence: Member.Precedence {
        Member.Precedence(generation: record.generation, incarnation: incarnation, state: state)
    }

    /// A short name of a suspecter. Two members with one mark count as one, which lengthens a suspicion and does no harm.
    static func mark(of actor: ActorID) -> UInt32 { UInt32(truncatingIfNeeded: mixed(actor.high ^ actor.low.rotated(by: 32))) }
}

// MARK: - Wire

extension MemberClaim {
    /// The first byte of each item of a packet. Items of other kinds are skipped.
    static let itemKind: UInt8 = 1

    /// Bytes that the claim takes in a packet, its length prefix included.
    var encodedSize: Int { 1 + bodySize }

    private var bodySize: Int {
        2 + 16 + record.address.encodedSize + varintSize(record.generation) + varintSize(incarnation)
            + (state == .suspect ? 1 + 4 * marks.count : 0)
    }

    func write(to writer: inout ByteWriter) {
        // At most 76 bytes, so the length is one byte and the record needs no buffer of its own.
        writer.writeVarint(UInt64(bodySize))
        writer.write(MemberClaim.itemKind)
        writer.write(state.rawValue)
        writer.write(record.actor)
        writer.write(record.address)
        writer.writeVarint(record.generation)
        writer.writeVarint(incarnation)
        guard state == .suspect else { return }
        writer.writeVarint(UInt64(marks.count))
        for mark in marks { writer.write(mark) }
    }

    /// Reads one item. Nil when it is of a kind, or says a state, that this build does not know.
    static func read(from reader: inout ByteReader) throws(MalformedInput) -> MemberClaim? {
        var item = try reader.readRecord()
        guard try item.readByte() == itemKind else { return nil }
        guard let state = Member.State(rawValue: try item.readByte()) else { return nil }
        let record = try readMember(from: &item)
        let incarnation = try readCounter(from: &item, of: "an incarnation")
        var marks: [UInt32] = []
        if state == .suspect {
            let count = try item.readVarint()
            for _ in 0..<min(count, UInt64(markLimit)) { marks.append(try item.readUInt32()) }
        }
        return MemberClaim(record: record, incarnation: incarnation, state: state, marks: marks)
    }

    /// Actor, address and generation, in this order.
    static func readMember(from reader: inout ByteReader) throws(MalformedInput) -> MemberRecord {
        let actor = try reader.readActor()
        let address = try readAddress(from: &reader)
        return MemberRecord(actor: actor, address: address, generation: try readCounter(from: &reader, of: "a generation"))
    }

    static func readAddress(from reader: inout ByteReader) throws(MalformedInput) -> Address {
        let address = try reader.readAddress()
        guard address.port != 0 else { throw MalformedInput("the address \(address) has port 0, where nobody can be reached") }
        return address
    }

    static func readCounter(from reader: inout ByteReader, of what: StaticString) throws(MalformedInput) -> UInt64 {
        let value = try reader.readVarint()
        guard value <= counterLimit else { throw MalformedInput("\(what): \(value) is over the limit of \(counterLimit)") }
        return value
    }
}

extension Address {
    /// Bytes that `ByteWriter.write(_:)` takes for it.
    var encodedSize: Int { ipv4 != nil ? 7 : 19 }
}

/// Bytes of the LEB128 form of `value`.
func varintSize(_ value: UInt64) -> Int { max(1, (70 - value.leadingZeroBitCount) / 7) }
