/// What the parts of events and effects have in common in a log, beyond the encodings of `docs/wire-format.md`.
extension ByteWriter {
    mutating func writeInteger(_ value: Int) { writeSignedVarint(Int64(value)) }

    /// Whole seconds and the attoseconds beyond them: nothing is rounded.
    mutating func write(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        writeSignedVarint(seconds)
        writeSignedVarint(attoseconds)
    }

    mutating func write(_ session: SessionID) {
        write(session.initiator.rawValue)
        writeVarint(session.number)
    }

    mutating func write(_ chunk: ChunkID) {
        write(chunk.actor)
        writePiece(chunk)
    }

    mutating func write(_ member: MemberRecord) {
        write(member.actor)
        write(member.address)
        writeVarint(member.generation)
    }

    /// The first number, then how many follow it.
    mutating func writeRange(_ range: ClosedRange<UInt64>) {
        writeVarint(range.lowerBound)
        writeVarint(range.upperBound - range.lowerBound)
    }

    mutating func writeList<Element>(_ list: [Element], _ write: (inout ByteWriter, Element) -> Void) {
        writeVarint(UInt64(list.count))
        for element in list { write(&self, element) }
    }
}

extension ByteReader {
    mutating func readInteger() throws(MalformedInput) -> Int { Int(try readSignedVarint()) }

    mutating func readDuration() throws(MalformedInput) -> Duration {
        let seconds = try readSignedVarint()
        let attoseconds = try readSignedVarint()
        return Duration(secondsComponent: seconds, attosecondsComponent: attoseconds)
    }

    /// A case of an enumeration that stands as its number.
    mutating func readCase<Case: RawRepresentable<UInt8>>(_ what: StaticString) throws(MalformedInput) -> Case {
        let number = try readByte()
        guard let found = Case(rawValue: number) else { throw MalformedInput("\(what) \(number) is not known") }
        return found
    }

    mutating func readSession() throws(MalformedInput) -> SessionID {
        let initiator: SessionID.Initiator = try readCase("initiator of a session")
        return SessionID(initiator, try readVarint())
    }

    mutating func readChunkID() throws(MalformedInput) -> ChunkID { try readPiece(of: try readActor()) }

    mutating func readMemberRecord() throws(MalformedInput) -> MemberRecord {
        let actor = try readActor()
        let address = try readAddress()
        return MemberRecord(actor: actor, address: address, generation: try readVarint())
    }

    mutating func readRange() throws(MalformedInput) -> ClosedRange<UInt64> {
        let first = try readVarint()
        let (last, overflow) = first.addingReportingOverflow(try readVarint())
        guard !overflow else { throw MalformedInput("a range exceeds 64 bits") }
        return first...last
    }

    /// A list of things that take `least` bytes each at least: no memory is taken for a count that the bytes cannot fill.
    mutating func readList<Element>(
        of what: StaticString, least: Int, _ read: (inout ByteReader) throws(MalformedInput) -> Element
    ) throws(MalformedInput) -> [Element] {
        let count = try readListCount(of: what, least: least, limit: .max)
        var list: [Element] = []
        list.reserveCapacity(min(count, 4_096))
        for _ in 0..<count { list.append(try read(&self)) }
        return list
    }

    mutating func readAddresses() throws(MalformedInput) -> [Address] {
        try readList(of: "addresses", least: 7) { (reader: inout ByteReader) throws(MalformedInput) in try reader.readAddress() }
    }

    mutating func readMembers() throws(MalformedInput) -> [MemberRecord] {
        try readList(of: "members", least: 24) { (reader: inout ByteReader) throws(MalformedInput) in try reader.readMemberRecord() }
    }

    mutating func readChunks() throws(MalformedInput) -> [Chunk] {
        try readList(of: "chunks", least: 30) { (reader: inout ByteReader) throws(MalformedInput) in try reader.readChunk() }
    }
}
