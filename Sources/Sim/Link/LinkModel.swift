import PatinaProtocol

/// What the network does to bytes on their way from one node to another, in one direction.
///
/// The rule is a value without state: it is shared by all links that it is for, and `LinkState` is what one link keeps.
/// It knows neither a clock nor a queue of events: the caller says what time it is and is told when the bytes arrive.
/// So the simulator applies it in virtual time, and a relay between real processes applies the same to real datagrams.
///
/// - Datagrams are lost, doubled, held back and dropped at the tail of a full queue.
/// - Reliable transfers (messages, session bytes) arrive whole: what loss does to them is delay. Each round of losses costs
///   a retransmission timeout, twice as long each time (RFC 9002, section 6.2, without its congestion window).
/// - Both share the wire. A reliable sender slows itself down, so it never fills more than half of the queue in
///   front of datagrams, however much it has to send.
public struct LinkModel: Hashable, Sendable {
    /// One-way latency, drawn for each datagram and each transfer; what it varies by is the jitter.
    public var latency: Latency = .constant(.milliseconds(1))
    /// Datagrams, and packets of transfers, that are lost, in millionths.
    public var loss: UInt32 = 0
    /// Datagrams that arrive twice, in millionths.
    public var duplicate: UInt32 = 0
    /// Datagrams that are held back so that later ones overtake them, in millionths.
    public var reorder: UInt32 = 0
    /// How long a datagram is held back at most.
    public var reorderDelay: Duration = .milliseconds(50)
    /// Datagrams of which bits are turned over on the way, in millionths. QUIC's authentication refuses what is damaged, so nothing
    /// of it reaches a node.
    public var corrupt: UInt32 = 0
    /// Losses that come in bursts, besides `loss`.
    public var bursts: Bursts?
    /// Drawn for each datagram and each transfer, besides `latency`.
    public var addedLatency: ClosedRange<Duration> = .zero...(.zero)
    /// Bits a second; nil: no limit.
    public var bandwidth: UInt64?
    /// Bytes that wait for the wire before further datagrams are dropped.
    public var queueBytes = 256 * 1_024

    public init() {}

    /// The model of Gilbert and Elliott: a link is in a good or in a bad state, and changes between them at random. All in millionths.
    public struct Bursts: Hashable, Sendable {
        /// The chance, at each packet in the good state, that the bad one begins.
        public var goodToBad: UInt32
        public var badToGood: UInt32
        /// Packets that are lost in the bad state.
        public var loss: UInt32

        public init(goodToBad: UInt32, badToGood: UInt32, loss: UInt32) {
            self.goodToBad = goodToBad
            self.badToGood = badToGood
            self.loss = loss
        }
    }

    public enum Latency: Hashable, Sendable {
        case constant(Duration)
        case uniform(ClosedRange<Duration>)
        /// A fixed part, and an exponentially distributed part with the given mean.
        case exponential(minimum: Duration, mean: Duration)
        /// A measured distribution: points of its cumulative function, shares ascending from 0 to all, with straight lines between them.
        case empirical([Point])

        /// So many of the latencies, in millionths, are at most this one.
        public struct Point: Hashable, Sendable {
            public var share: UInt32
            public var latency: Duration

            public init(share: UInt32, latency: Duration) {
                self.share = share
                self.latency = latency
            }
        }

        /// One latency.
        public func sample(_ random: inout Random) -> Duration {
            switch self {
            case .constant(let duration): duration
            case .uniform(let range): random.duration(in: range)
            case .exponential(let minimum, let mean): minimum + random.exponential(mean: mean)
            case .empirical(let points): Latency.inverse(of: UInt32(random.below(1_000_000)), points)
            }
        }

        private static func inverse(of share: UInt32, _ points: [Point]) -> Duration {
            guard let above = points.firstIndex(where: { $0.share > share }), above > 0 else { return points.last?.latency ?? .zero }
            let (low, high) = (points[above - 1], points[above])
            let way = (high.latency - low.latency).nanoseconds / Int64(high.share - low.share) * Int64(share - low.share)
            return low.latency + .nanoseconds(way)
        }

        /// The latency that half of the draws stay under, for timeouts that are derived from it.
        public var typical: Duration {
            switch self {
            case .constant(let duration): duration
            case .uniform(let range): .nanoseconds((range.lowerBound.nanoseconds + range.upperBound.nanoseconds) / 2)
            case .exponential(let minimum, let mean): minimum + .nanoseconds(mean.nanoseconds * 7 / 10)
            case .empirical(let points): Latency.inverse(of: 500_000, points)
            }
        }
    }
}

/// What one direction of one link remembers: its stream of randomness and when its wire is free again.
public struct LinkState: Sendable {
    fileprivate var random: Random
    /// When the datagrams that were accepted are all on the wire.
    fileprivate var datagramsDone: Instant = .zero
    /// When the transfers that were accepted are all on the wire.
    fileprivate var transfersDone: Instant = .zero
    /// A burst of losses is going on.
    fileprivate var isBad = false

    /// - Parameter random: a stream of this link's own, so that traffic elsewhere does not change its draws.
    public init(random: Random) { self.random = random }
}

/// What becomes of a datagram.
public enum DatagramFate: Hashable, Sendable {
    case delivered(at: Instant)
    case deliveredTwice(Instant, Instant)
    case lost
    /// It arrives, but its bits are not what they were.
    case corrupted
    /// The queue in front of the wire was full.
    case queueFull
}

extension LinkModel {
    /// Bytes of a transfer that travel in one packet.
    private static let packetBytes = 1_200
    /// Rounds of retransmission before a transfer is handed back to the caller.
    private static let rounds = 8
    /// How long a receiver may hold back an acknowledgement (RFC 9000, `max_ack_delay`).
    private static let acknowledgementDelay: Duration = .milliseconds(25)

    /// Sends a datagram.
    public func sendDatagram(_ bytes: Int, at now: Instant, over state: inout LinkState) -> DatagramFate {
        var departure = now
        if let bandwidth {
            let transfersAhead = min(state.transfersDone - now, LinkModel.time(queueBytes / 2, at: bandwidth))
            let ahead = max(.zero, state.datagramsDone - now) + max(.zero, transfersAhead)
            let room = LinkModel.time(queueBytes, at: bandwidth)
            let own = LinkModel.time(bytes, at: bandwidth)
            if ahead + own > room { return .queueFull }
            departure = now + ahead + own
            state.datagramsDone = max(now, state.datagramsDone) + own
        }
        // Every draw happens only where the rule asks for one: an unused feature costs nothing and shifts nothing.
        if loss > 0, state.random.chance(partsPerMillion: loss) { return .lost }
        if bursts != nil, isLostInBurst(&state) { return .lost }
        if corrupt > 0, state.random.chance(partsPerMillion: corrupt) { return .corrupted }
        var arrival = departure + sampleLatency(&state)
        if reorder > 0, state.random.chance(partsPerMillion: reorder) {
            arrival = arrival + state.random.duration(in: .zero...reorderDelay)
        }
        if duplicate > 0, state.random.chance(partsPerMillion: duplicate) {
            return .deliveredTwice(arrival, departure + sampleLatency(&state))
        }
        return .delivered(at: arrival)
    }

    /// Sends a message, or bytes of a session, and says when all of them have arrived. Nil when the link lost some of them in
    /// every round: the sender keeps trying, and may ask again after `retransmissionTimeout`.
    public func transfer(_ bytes: Int, at now: Instant, over state: inout LinkState) -> Instant? {
        var departure = now
        if let bandwidth {
            let free = max(now, max(state.transfersDone, state.datagramsDone))
            state.transfersDone = free + LinkModel.time(bytes, at: bandwidth)
            departure = state.transfersDone
        }
        let arrival = departure + sampleLatency(&state)
        guard loss > 0 || corrupt > 0 || bursts != nil else { return arrival }
        var outstanding = max(1, (bytes + LinkModel.packetBytes - 1) / LinkModel.packetBytes)
        var delay: Duration = .zero
        var timeout: Duration?
        for _ in 0..<LinkModel.rounds {
            var lost = 0
            for _ in 0..<outstanding where isPacketLost(&state) { lost += 1 }
            if lost == 0 { return arrival + delay }
            outstanding = lost
            let wait = timeout ?? retransmissionTimeout
            delay += wait
            timeout = wait * 2
        }
        return nil
    }

    /// How long a sender waits for an acknowledgement before it sends again.
    public var retransmissionTimeout: Duration {
        .nanoseconds((latency.typical + addedLatency.upperBound).nanoseconds * 3) + LinkModel.acknowledgementDelay
    }

    private func sampleLatency(_ state: inout LinkState) -> Duration {
        let own = latency.sample(&state.random)
        return addedLatency.upperBound == .zero ? own : own + state.random.duration(in: addedLatency)
    }

    /// A packet of a transfer that must be sent again.
    private func isPacketLost(_ state: inout LinkState) -> Bool {
        if loss > 0, state.random.chance(partsPerMillion: loss) { return true }
        if bursts != nil, isLostInBurst(&state) { return true }
        return corrupt > 0 && state.random.chance(partsPerMillion: corrupt)
    }

    private func isLostInBurst(_ state: inout LinkState) -> Bool {
        guard let bursts else { return false }
        if state.random.chance(partsPerMillion: state.isBad ? bursts.badToGood : bursts.goodToBad) { state.isBad.toggle() }
        return state.isBad && state.random.chance(partsPerMillion: bursts.loss)
    }

    /// How long `bytes` occupy a wire of `bandwidth` bits a second.
    private static func time(_ bytes: Int, at bandwidth: UInt64) -> Duration {
        let product = (UInt64(bytes) * 8).multipliedFullWidth(by: 1_000_000_000)
        guard product.high < bandwidth else { return .seconds(3_600) }
        return .nanoseconds(Int64(clamping: bandwidth.dividingFullWidth(product).quotient))
    }
}
