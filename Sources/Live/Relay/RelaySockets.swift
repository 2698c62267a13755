import Glibc
import PatinaProtocol

/// The sockets of the relay, one for each agent.
final class RelaySockets {
    /// Attempts to find a port that is free at all addresses.
    private static let attempts = 100
    /// `select` knows no larger descriptors.
    private static let descriptorsMaximum: CInt = 1_024

    private let sockets: [RelaySocket]
    private var readable = fd_set()
    /// For each socket what its full buffer has dropped so far.
    private var dropped: [UInt32]

    /// Datagrams that full buffers have dropped so far.
    var drops: UInt64 { dropped.reduce(0) { $0 + UInt64($1) } }

    private init(_ sockets: [RelaySocket]) {
        self.sockets = sockets
        dropped = Array(repeating: 0, count: sockets.count)
    }

    /// Binds all advertised addresses to one port that the agents' own addresses have free as well.
    ///
    /// - Throws: `LiveError` when there is none.
    static func bind(_ nodes: Int) throws(LiveError) -> (RelaySockets, LoopbackPlan) {
        var last = LiveError("no port was tried")
        for _ in 0..<attempts {
            do throws(LiveError) { return try bindAll(nodes) } catch { last = error }
        }
        throw LiveError("no port is free at all loopback addresses of \(nodes) agents; the last attempt: \(last)")
    }

    private static func bindAll(_ nodes: Int) throws(LiveError) -> (RelaySockets, LoopbackPlan) {
        let first = try RelaySocket(bind: LoopbackPlan(port: 0).advertised(0))
        let plan = LoopbackPlan(port: first.address.port)
        var sockets = [first]
        for index in 1..<max(1, nodes) { sockets.append(try RelaySocket(bind: plan.advertised(index))) }
        guard sockets.allSatisfy({ $0.descriptor < descriptorsMaximum }) else {
            throw LiveError("this process has too many open files for the relay's sockets")
        }
        // Held for a moment only, to see that the agents can have them.
        for index in 0..<nodes { _ = try RelaySocket(bind: plan.bound(index)) }
        return (RelaySockets(sockets), plan)
    }

    /// Sleeps until a datagram arrives, at most so long.
    func wait(_ limit: Duration) {
        var set = fd_set()
        var highest: CInt = -1
        withUnsafeMutableBytes(of: &set) { bytes in
            let words = bytes.bindMemory(to: UInt64.self)
            for socket in sockets {
                words[Int(socket.descriptor) / 64] |= 1 << UInt64(socket.descriptor % 64)
                highest = max(highest, socket.descriptor)
            }
        }
        var time = timespec(tv_sec: Int(limit.nanoseconds / 1_000_000_000), tv_nsec: Int(limit.nanoseconds % 1_000_000_000))
        let ready = pselect(highest + 1, &set, nil, nil, &time, nil)
        readable = ready > 0 ? set : fd_set()
    }

    /// Whether something had arrived for the agent when the last wait ended.
    func isReadable(_ index: Int) -> Bool {
        let descriptor = Int(sockets[index].descriptor)
        return withUnsafeBytes(of: &readable) { $0.bindMemory(to: UInt64.self)[descriptor / 64] >> UInt64(descriptor % 64) & 1 == 1 }
    }

    /// Takes in one datagram that was sent to the agent; nil when there is none.
    func receive(
        at index: Int, into buffer: UnsafeMutableRawBufferPointer, control: UnsafeMutableRawBufferPointer
    ) -> RelaySocket.Arrival? {
        guard let arrival = sockets[index].receive(into: buffer, control: control) else { return nil }
        if let count = arrival.dropped { dropped[index] = count }
        return arrival
    }

    /// Sends a datagram that seems to come from the agent `from`.
    func send(_ bytes: [UInt8], from: Int, to address: Address) -> RelaySocket.Outcome { sockets[from].send(bytes, to: address) }
}
