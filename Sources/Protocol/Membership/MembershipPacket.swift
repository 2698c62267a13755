/// What membership's nodes say to each other: a body, from a sender, with news of any members behind it.
///
/// `docs/wire-format.md` has the byte layout. The same packets travel as datagrams and as messages.
struct MembershipPacket: Hashable, Sendable {
    /// The identity of the sender, as it says itself. Everything that is sent in answer goes to this address.
    var sender: MemberRecord
    var incarnation: UInt64
    var body: Body
    var claims: [MemberClaim] = []
    /// Items of kinds that this build does not know.
    var skipped = 0

    enum Body: Hashable, Sendable {
        /// Are you `target`, and alive?
        case ping(sequence: UInt64, target: ActorID, digest: Fingerprint)
        /// `subject` answered the ping with this number: the sender itself, or the member that it was asked to ping.
        case acknowledgement(sequence: UInt64, subject: ActorID, digest: Fingerprint)
        /// Ping `target` for me; I wait this long.
        case pingRequest(sequence: UInt64, target: ActorID, address: Address, patience: Duration)
        /// I have no answer yet for the request with this number. It shows that the asking node's own network works.
        case negativeAcknowledgement(sequence: UInt64)
        /// Nothing but the items.
        case gossip
        /// I am here. Tell me who else is.
        case announce
        /// These are the alive and suspected members that I know, summed up. Tell me yours if they differ.
        case compare(Fingerprint)
        /// The items are a whole member list, or a piece of one.
        case list(wantsAnswer: Bool)
        /// A kind of a later build.
        case unknown(UInt8)
    }

    fileprivate enum Kind: UInt8 {
        case ping = 1
        case acknowledgement = 2
        case pingRequest = 3
        case negativeAcknowledgement = 4
        case gossip = 5
        case announce = 6
        case compare = 7
        case list = 8
    }
}

// MARK: - Wire

extension MembershipPacket {
    /// More than any packet without items takes.
    static let headBytes = 160

    /// Writes everything but the items, which follow as `MemberClaim.write(to:)` writes them.
    static func write(sender: Member, body: Body, to writer: inout ByteWriter) {
        writer.write(body.kind)
        writer.writeRecord { record in
            record.write(sender.record.actor)
            record.write(sender.record.address)
            record.writeVarint(sender.record.generation)
            record.writeVarint(sender.incarnation)
        }
        writer.writeRecord { body.write(to: &$0) }
    }

    var encoded: [UInt8] {
        var writer = ByteWriter(capacity: MembershipPacket.headBytes)
        MembershipPacket.write(sender: Member(record: sender, incarnation: incarnation, state: .alive), body: body, to: &writer)
        for claim in claims { claim.write(to: &writer) }
        return writer.bytes
    }

    init(_ bytes: ArraySlice<UInt8>) throws(MalformedInput) {
        var reader = ByteReader(bytes)
        let kind = try reader.readByte()
        var head = try reader.readRecord()
        sender = try MemberClaim.readMember(from: &head)
        incarnation = try MemberClaim.readCounter(from: &head, of: "an incarnation")
        var record = try reader.readRecord()
        body = try Body(kind: kind, &record)
        claims = try MemberClaim.readAll(from: &reader, skipped: &skipped)
    }
}

extension MembershipPacket.Body {
    fileprivate var kind: UInt8 {
        switch self {
        case .ping: MembershipPacket.Kind.ping.rawValue
        case .acknowledgement: MembershipPacket.Kind.acknowledgement.rawValue
        case .pingRequest: MembershipPacket.Kind.pingRequest.rawValue
        case .negativeAcknowledgement: MembershipPacket.Kind.negativeAcknowledgement.rawValue
        case .gossip: MembershipPacket.Kind.gossip.rawValue
        case .announce: MembershipPacket.Kind.announce.rawValue
        case .compare: MembershipPacket.Kind.compare.rawValue
        case .list: MembershipPacket.Kind.list.rawValue
        case .unknown(let kind): kind
        }
    }

    fileprivate func write(to writer: inout ByteWriter) {
        switch self {
        case .ping(let sequence, let actor, let digest), .acknowledgement(let sequence, let actor, let digest):
            writer.writeVarint(sequence)
            writer.write(actor)
            writer.write(digest)
        case .pingRequest(let sequence, let target, let address, let patience):
            writer.writeVarint(sequence)
            writer.write(target)
            writer.write(address)
            writer.writeVarint(UInt64(max(0, patience.milliseconds)))
        case .negativeAcknowledgement(let sequence):
            writer.writeVarint(sequence)
        case .gossip, .announce, .unknown:
            break
        case .compare(let view):
            writer.write(view)
        case .list(let wantsAnswer):
            writer.write(wantsAnswer ? 1 : 0 as UInt8)
        }
    }

    fileprivate init(kind: UInt8, _ record: inout ByteReader) throws(MalformedInput) {
        switch MembershipPacket.Kind(rawValue: kind) {
        case .ping:
            self = .ping(sequence: try record.readVarint(), target: try record.readActor(), digest: try record.readFingerprint())
        case .acknowledgement:
            self = .acknowledgement(
                sequence: try record.readVarint(), subject: try record.readActor(), digest: try record.readFingerprint())
        case .pingRequest:
            let sequence = try record.readVarint()
            let target = try record.readActor()
            let address = try MemberClaim.readAddress(from: &record)
            // An hour is far more than any asker waits; the bound keeps the arithmetic on times from overflowing.
            let patience = Duration.milliseconds(try record.readCount(limit: 3_600_000, of: "the patience of a ping request"))
            self = .pingRequest(sequence: sequence, target: target, address: address, patience: patience)
        case .negativeAcknowledgement:
            self = .negativeAcknowledgement(sequence: try record.readVarint())
        case .gossip:
            self = .gossip
        case .announce:
            self = .announce
        case .compare:
            self = .compare(try record.readFingerprint())
        case .list:
            self = .list(wantsAnswer: try record.readByte() != 0)
        case nil:
            self = .unknown(kind)
        }
    }
}
