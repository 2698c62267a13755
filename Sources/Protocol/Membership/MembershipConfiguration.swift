/// How eagerly a node looks after its member list.
///
/// The defaults suit clusters of 3 to some thousand nodes on any mix of links: what depends on the links is measured,
/// what depends on the size is derived. A crash is declared by the whole cluster after about 4 to 6 s: 1 s until
/// somebody probes the crashed node, 1 s until that probe has failed, 2.5 to 5 s of suspicion, and the spreading of the news.
/// Values that make no sense (a period of zero, a cap below its floor) are raised to the nearest that does.
public struct MembershipConfiguration: Hashable, Sendable {
    /// Every member probes one other member in each period. Longer while the node's own health is in doubt.
    public var probePeriod: Duration = .seconds(1)
    /// The shortest and the longest wait for a direct answer before other members are asked to probe. Between
    /// them the wait follows the member's measured round-trip times; the cap holds until there is a measurement.
    public var probeTimeoutFloor: Duration = .milliseconds(100)
    public var probeTimeoutCap: Duration = .milliseconds(500)
    /// Members that are asked to probe a member that did not answer (SWIM's k).
    public var indirectProbes = 3
    /// The worst value of the node's doubt in its own health (Lifeguard's S). Periods and waits grow by this factor plus one.
    public var healthCap = 8

    /// How long a member is suspected before it is declared down, once enough members have confirmed the
    /// suspicion. Grows with the logarithm of the cluster above 127 members, as spreading a refutation takes longer.
    public var suspicionFloor: Duration = .milliseconds(2_500)
    /// The same while nobody has confirmed it.
    public var suspicionCap: Duration = .seconds(5)
    /// Independent confirmations that shorten a suspicion to its floor (Lifeguard's K), at most 3.
    public var confirmations = 3
    /// A timer that fires later than this past its deadline shows that the whole process stood still. Then silence is no
    /// evidence against others.
    public var stallTolerance: Duration = .seconds(1)

    /// Each update is sent this many times the base-2 logarithm of the cluster's size (SWIM's lambda).
    public var transmissionFactor = 3
    /// While updates are pending, this often they go to this many random members, besides riding on probes.
    public var gossipPeriod: Duration = .milliseconds(200)
    public var gossipFanout = 3

    /// How often the member list is compared with that of one random member; varied by a fifth either way. Six times as
    /// often while lists are found to differ.
    public var exchangePeriod: Duration = .seconds(30)
    /// The bounds between which the time until the next announcement to one member that is down, and to one
    /// bootstrap address, is drawn. This is how the two sides of a healed partition find each other.
    public var announceFloor: Duration = .seconds(5)
    public var announceCap: Duration = .seconds(10)
    /// A node that has found nobody yet announces itself again after this long, doubling up to the cap, varied by a half.
    public var joinRetryFloor: Duration = .milliseconds(500)
    public var joinRetryCap: Duration = .seconds(30)
    /// Addresses that a joining node announces itself to at a time.
    public var joinFanout = 3

    /// How long members are remembered after they went down, so that a healed partition finds them.
    public var forgetDownAfter: Duration = .seconds(48 * 3_600)
    /// How long members are remembered after they left, so that late gossip does not bring them back.
    public var forgetLeftAfter: Duration = .seconds(3_600)
    /// Bytes at which a member list is cut into several messages.
    public var listMessageBytes = 64 * 1_024

    /// Set by tests of the simulator alone.
    package var mutants: MembershipMutants = []

    public init() {}

    /// The configuration with every value raised to the nearest that the machine can work with.
    var sane: MembershipConfiguration {
        var result = self
        let shortest = Duration.milliseconds(1)
        result.probePeriod = max(probePeriod, .milliseconds(10))
        result.probeTimeoutFloor = max(probeTimeoutFloor, shortest)
        result.probeTimeoutCap = max(probeTimeoutCap, result.probeTimeoutFloor)
        result.indirectProbes = max(indirectProbes, 0)
        result.healthCap = max(healthCap, 0)
        result.suspicionFloor = max(suspicionFloor, shortest)
        result.suspicionCap = max(suspicionCap, result.suspicionFloor)
        result.confirmations = min(max(confirmations, 0), 3)
        result.stallTolerance = max(stallTolerance, shortest)
        result.transmissionFactor = max(transmissionFactor, 1)
        result.gossipPeriod = max(gossipPeriod, shortest)
        result.gossipFanout = max(gossipFanout, 1)
        result.exchangePeriod = max(exchangePeriod, .milliseconds(60))
        result.announceFloor = max(announceFloor, .milliseconds(10))
        result.announceCap = max(announceCap, result.announceFloor)
        result.joinRetryFloor = max(joinRetryFloor, .milliseconds(10))
        result.joinRetryCap = max(joinRetryCap, result.joinRetryFloor)
        result.joinFanout = max(joinFanout, 1)
        result.forgetDownAfter = max(forgetDownAfter, shortest)
        result.forgetLeftAfter = max(forgetLeftAfter, shortest)
        result.listMessageBytes = max(listMessageBytes, 1_024)
        return result
    }
}
