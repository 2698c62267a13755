/// The fast way to read the claims that nearly all are: about a member that is not suspected and has an IPv4 address, without fields of
/// later builds. While a cluster forms, every node reads some thousand of them from each list.
extension MemberClaim {
    /// The claim at the beginning of `bytes`, with its length; nil when it is of another form, or malformed: the general reader decides.
    static func plain(_ bytes: UnsafeRawBufferPointer) -> (claim: MemberClaim, length: Int)? {
        // Length, kind, state, actor, family, address, port, and two numbers of at least one byte.
        guard bytes.count >= 28 else { return nil }
        let length = Int(bytes[0]) + 1
        guard length <= 0x80, length >= 28, length <= bytes.count, bytes[1] == itemKind, bytes[19] == 4,
            let state = Member.State(rawValue: bytes[2]), state != .suspect
        else { return nil }
        let actor = ActorID(
            high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 3, as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 11, as: UInt64.self)))
        let address = Address(
            ipv4: UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 20, as: UInt32.self)),
            port: UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt16.self)))
        var position = 26
        guard address.port != 0, let generation = counter(bytes, &position, end: length),
            let incarnation = counter(bytes, &position, end: length), position == length
        else { return nil }
        let record = MemberRecord(actor: actor, address: address, generation: generation)
        return (MemberClaim(record: record, incarnation: incarnation, state: state), length)
    }

    /// A varint of at most eight bytes; nil when it is longer or does not end before `end`.
    private static func counter(_ bytes: UnsafeRawBufferPointer, _ position: inout Int, end: Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end, shift < 56 {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        return nil
    }
}
