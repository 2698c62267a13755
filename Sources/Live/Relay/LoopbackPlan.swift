import PatinaProtocol

/// Who has which address of 127.0.0.0/8. All agents of a run share one port.
///
/// Agent number n binds 127.1.0.(n+1) and tells the others that it is 127.2.0.(n+1), which the relay owns. So what agents send to
/// each other comes to the relay, and the relay knows the sender by the address that it comes from.
struct LoopbackPlan: Hashable, Sendable {
    /// Agents that one run may have: they share this machine.
    static let agentsMaximum = 64

    let port: UInt16

    /// Where an agent listens: for gossip over UDP, for HTTP over TCP.
    func bound(_ index: Int) -> Address { Address(ipv4: 0x7F01_0000 | UInt32(index + 1), port: port) }

    /// Where the others believe it to be.
    func advertised(_ index: Int) -> Address { Address(ipv4: 0x7F02_0000 | UInt32(index + 1), port: port) }

    /// The agent that is bound to an IPv4 address; nil when it is none of ours.
    static func index(ofBound ipv4: UInt32, among count: Int) -> Int? {
        guard ipv4 >> 16 == 0x7F01 else { return nil }
        let index = Int(ipv4 & 0xFFFF) - 1
        return index >= 0 && index < count ? index : nil
    }

    /// The agent that the others believe at an address; nil when it is none of ours.
    static func index(ofAdvertised address: Address, among count: Int) -> Int? {
        guard let ipv4 = address.ipv4, ipv4 >> 16 == 0x7F02 else { return nil }
        let index = Int(ipv4 & 0xFFFF) - 1
        return index >= 0 && index < count ? index : nil
    }
}
