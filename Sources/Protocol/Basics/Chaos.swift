/// Decides at the chaos points of one machine whether something unlucky happens.
///
/// Where nothing is on, and in an agent nothing ever is, a point costs the test of a bit. Each point draws from a random stream of its
/// own, so that another point that is on changes nothing about when this one strikes.
package struct Chaos: Sendable {
    private let points: UInt64
    private let fire: UInt32
    /// By the number of the point; empty where nothing is on.
    private var streams: [Random] = []
    /// Points that struck since somebody last asked, in order.
    private var struck: [ChaosPoint] = []

    /// Nothing is on.
    package init() { (points, fire) = (0, 0) }

    /// - Parameter random: of the machine; is not advanced.
    package init(_ configuration: ChaosConfiguration, random: Random) {
        points = configuration.isOn ? configuration.points : 0
        fire = configuration.fire
        guard points != 0 else { return }
        let random = random.fork("chaos")
        streams = ChaosPoint.allCases.map { random.fork($0.name) }
    }

    /// True when what the point stands for is to happen now.
    @inline(__always)
    package mutating func point(_ point: ChaosPoint) -> Bool { points & point.bit != 0 && strikes(point) }

    @inline(never)
    private mutating func strikes(_ point: ChaosPoint) -> Bool {
        guard streams[Int(point.rawValue)].chance(partsPerMillion: fire) else { return false }
        struck.append(point)
        return true
    }

    /// Hands over the points that struck.
    package mutating func takeStruck() -> [ChaosPoint] {
        guard !struck.isEmpty else { return [] }
        defer { struck.removeAll(keepingCapacity: true) }
        return struck
    }
}
