import PatinaProtocol

/// The nodes of a scenario and where they stand.
public struct Topology: Hashable, Sendable {
    public var nodes: Int
    /// Empty: all nodes are in one place.
    public var regions: [Region] = []
    public var place = Place.weighted
    public var join = Join()

    /// How nodes are dealt out to regions; those of one region follow each other.
    public enum Place: String, Hashable, Sendable, CaseIterable {
        /// By the regions' weights.
        case weighted
        /// The same number to each.
        case even
    }

    public init(nodes: Int) { self.nodes = nodes }

    public struct Region: Hashable, Sendable {
        public var name: String
        /// Thousandths of degrees, north and east positive.
        public var latitude: Int
        public var longitude: Int
        /// The region's part of the nodes, in relation to the other regions' weights.
        public var weight: Int

        public init(name: String, latitude: Int, longitude: Int, weight: Int) {
            self.name = name
            self.latitude = latitude
            self.longitude = longitude
            self.weight = weight
        }
    }

    /// How nodes find the cluster.
    public struct Join: Hashable, Sendable {
        public var via = Via.random(3)
        /// The nodes start one after the other, evenly spread over this time.
        public var over: Duration = .seconds(1)

        public enum Via: Hashable, Sendable {
            /// Everybody knows node 0.
            case first
            /// Everybody knows this many others, drawn for each.
            case random(Int)
        }
    }

    /// The nodes that a node knows when it starts.
    package func contacts(of index: Int, using random: inout Random) -> [Int] {
        switch join.via {
        case .first: return index == 0 ? [] : [0]
        case .random(let wanted):
            var others: [Int] = []
            guard nodes > wanted + 1 else { return (0..<nodes).filter { $0 != index } }
            while others.count < wanted {
                let other = random.below(nodes)
                if other != index, !others.contains(other) { others.append(other) }
            }
            return others
        }
    }

    /// How many nodes each region has: by weight, remainders to those that are owed most, then by order.
    var populations: [Int] {
        let weights = regions.map { place == .weighted ? $0.weight : 1 }
        let total = weights.reduce(0, +)
        var counts = weights.map { nodes * $0 / total }
        let owed = regions.indices.sorted {
            let (left, right) = (nodes * weights[$0] % total, nodes * weights[$1] % total)
            return left != right ? left > right : $0 < $1
        }
        for index in owed.prefix(nodes - counts.reduce(0, +)) { counts[index] += 1 }
        return counts
    }

    /// The index of each node's region; regions are filled in order. Empty when there are no regions.
    var placement: [Int] {
        var result: [Int] = []
        guard !regions.isEmpty else { return result }
        for (index, count) in populations.enumerated() { result += Array(repeating: index, count: count) }
        return result
    }

    func region(of node: Int) -> Region? {
        guard !regions.isEmpty else { return nil }
        var first = 0
        for (index, count) in populations.enumerated() {
            first += count
            if node < first { return regions[index] }
        }
        return nil
    }
}

/// Distances on the globe.
///
/// Made of the four operations and the square root, which IEEE 754 defines exactly, so that every machine gets the same kilometres.
enum Geography {
    /// The mean radius of the earth in kilometres.
    private static let radius = 6_371.0

    /// The great-circle distance in whole kilometres (haversine formula). Coordinates in thousandths of degrees.
    static func kilometres(from: Topology.Region, to: Topology.Region) -> Int {
        let latitudes = (radians(from.latitude), radians(to.latitude))
        let halfLatitude = sine((latitudes.1 - latitudes.0) / 2)
        let halfLongitude = sine(radians(to.longitude - from.longitude) / 2)
        let cosines = sine(latitudes.0 + .pi / 2) * sine(latitudes.1 + .pi / 2)
        let haversine = min(1, max(0, halfLatitude * halfLatitude + cosines * halfLongitude * halfLongitude))
        // The arc sine by bisection: 50 halvings leave less than a millimetre.
        let target = haversine.squareRoot()
        var (low, high) = (0.0, Double.pi / 2)
        for _ in 0..<50 {
            let middle = (low + high) / 2
            if sine(middle) < target { low = middle } else { high = middle }
        }
        return Int((2 * radius * low).rounded())
    }

    private static func radians(_ thousandths: Int) -> Double { Double(thousandths) / 1_000 * .pi / 180 }

    /// The Taylor series of the sine, for angles within a full circle; the error is far below a metre on the globe.
    private static func sine(_ angle: Double) -> Double {
        var angle = angle
        while angle > .pi { angle -= 2 * .pi }
        while angle < -.pi { angle += 2 * .pi }
        var term = angle
        var sum = angle
        for index in 1..<16 {
            term *= -angle * angle / Double(2 * index * (2 * index + 1))
            sum += term
        }
        return sum
    }
}
