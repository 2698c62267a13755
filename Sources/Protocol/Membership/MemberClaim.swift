/// What one node says about a member: the unit in which news of the member list travels.
struct MemberClaim: Hashable, Sendable {
    var record: MemberRecord
    var incarnation: UInt64
    var state: Member.State
    /// Marks of those whose own probes failed; only of a suspect.
    var marks: SuspicionMarks

    /// The highest generation and incarnation that a claim may have. Half of the numbers are left, so that a member
    /// that is told a wild number about itself can still name a higher one.
    static let counterLimit: UInt64 = 1 << 62

    init(record: MemberRecord, incarnation: UInt64, state: Member.State, marks: SuspicionMarks = []) {
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
        // At most 76 bytes, so the length is one byte. Put together on the stack: lists hold thousands of these.
        writer.write(capacity: 96) { buffer in
            var position = 0
            func put(_ byte: UInt8) {
                buffer[position] = byte
                position += 1
            }
            func put<Word: FixedWidthInteger>(word: Word) {
                buffer.storeBytes(of: word, toByteOffset: position, as: Word.self)
                position += MemoryLayout<Word>.size
            }
            func put(varint value: UInt64) {
                var rest = value
                while rest >= 0x80 {
                    put(UInt8(truncatingIfNeeded: rest) | 0x80)
                    rest >>= 7
                }
                put(UInt8(truncatingIfNeeded: rest))
            }
            put(UInt8(truncatingIfNeeded: bodySize))
            put(MemberClaim.itemKind)
            put(state.rawValue)
            put(word: record.actor.high.bigEndian)
            put(word: record.actor.low.bigEndian)
            if let ipv4 = record.address.ipv4 {
                put(4)
                put(word: ipv4.bigEndian)
            } else {
                put(6)
                put(word: record.address.high.bigEndian)
                put(word: record.address.low.bigEndian)
            }
            put(word: record.address.port.bigEndian)
            put(varint: record.generation)
            put(varint: incarnation)
            if state == .suspect {
                put(varint: UInt64(marks.count))
                for mark in marks { put(word: mark.littleEndian) }
            }
            return position
        }
    }

    /// Reads all items up to the end. Items of kinds, and states, that this build does not know are counted in `skipped`.
    static func readAll(from reader: inout ByteReader, skipped: inout Int) throws(MalformedInput) -> [MemberClaim] {
        guard !reader.isAtEnd else { return [] }
        var claims: [MemberClaim] = []
        // The least that a claim takes is 28 bytes.
        claims.reserveCapacity(reader.remaining / 28)
        while !reader.isAtEnd {
            let rest = reader.rest
            let taken = rest.withUnsafeBytes { bytes in
                var offset = 0
                while let (claim, length) = plain(UnsafeRawBufferPointer(rebasing: bytes[offset...])) {
                    claims.append(claim)
                    offset += length
                }
                return offset
            }
            reader.skip(taken)
            guard !reader.isAtEnd else { break }
            if let claim = try read(from: &reader) { claims.append(claim) } else { skipped += 1 }
        }
        return claims
    }

    /// Reads one item, whatever its form. Nil when it is of a kind, or says a state, that this build does not know.
    static func read(from reader: inout ByteReader) throws(MalformedInput) -> MemberClaim? {
        var item = try reader.readRecord()
        guard try item.readByte() == itemKind else { return nil }
        guard let state = Member.State(rawValue: try item.readByte()) else { return nil }
        let record = try readMember(from: &item)
        let incarnation = try readCounter(from: &item, of: "an incarnation")
        var marks = SuspicionMarks()
        if state == .suspect {
            let count = try item.readVarint()
            for _ in 0..<min(count, UInt64(SuspicionMarks.limit)) { marks.append(try item.readUInt32()) }
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
