import NIOCore
import NIOPosix
import PatinaProtocol

@testable import PatinaRuntime

/// A bad network between two endpoints: loses, damages, doubles and reorders packets, each with a chance, from a seed.
final class Relay: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    /// What happens to a packet, in parts of a thousand.
    struct Faults: Sendable {
        var lost = 0
        var damaged = 0
        var doubled = 0
        var delayed = 0
    }

    let channel: any Channel
    private let target: SocketAddress
    private let faults: Faults
    private var random: Random
    private var client: SocketAddress?

    /// The address that stands for the target.
    let address: Address

    private init(channel: any Channel, address: Address, target: SocketAddress, faults: Faults, seed: UInt64) {
        self.channel = channel
        self.address = address
        self.target = target
        self.faults = faults
        random = Random(seed: seed)
    }

    /// Both directions pass one socket: what does not come from the target goes to it.
    static func start(to target: Address, faults: Faults, seed: UInt64) async throws -> Relay {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let channel = try await DatagramBootstrap(group: loop).bind(host: "127.0.0.1", port: 0).get()
        guard let bound = channel.localAddress, let address = Address(bound) else { throw ChannelError.unknownLocalAddress }
        let relay = Relay(
            channel: channel, address: address, target: try SocketAddress(ipAddress: target.host, port: Int(target.port)),
            faults: faults, seed: seed)
        try await channel.pipeline.addHandler(relay).get()
        return relay
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let destination: SocketAddress
        if envelope.remoteAddress == target {
            guard let client else { return }
            destination = client
        } else {
            client = envelope.remoteAddress
            destination = target
        }
        if random.below(1_000) < faults.lost { return }
        var bytes = envelope.data
        if random.below(1_000) < faults.damaged { damage(&bytes) }
        let copies = random.below(1_000) < faults.doubled ? 2 : 1
        for _ in 0..<copies {
            let packet = AddressedEnvelope(remoteAddress: destination, data: bytes)
            if random.below(1_000) < faults.delayed {
                let delay = TimeAmount.milliseconds(Int64(random.below(20)))
                channel.eventLoop.scheduleTask(in: delay) { self.channel.writeAndFlush(packet, promise: nil) }
            } else {
                channel.writeAndFlush(packet, promise: nil)
            }
        }
    }

    private func damage(_ bytes: inout ByteBuffer) {
        switch random.below(3) {
        case 0:
            for _ in 0...random.below(4) {
                bytes.setInteger(UInt8(truncatingIfNeeded: random.next()), at: random.below(max(1, bytes.readableBytes)))
            }
        case 1: bytes = bytes.getSlice(at: 0, length: random.below(bytes.readableBytes + 1)) ?? bytes
        default: bytes.writeRepeatingByte(UInt8(truncatingIfNeeded: random.next()), count: random.below(64))
        }
    }

    func stop() async throws { try await channel.close() }
}
