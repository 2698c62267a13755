import Foundation
import PatinaProtocol
import PatinaSim
import Synchronization

/// The network between the agents of a live run: it owns the addresses that they advertise, and forwards every datagram as the
/// scenario's links and faults say, by the same `Network` and `LinkModel` as the simulator.
///
/// It has a thread of its own that waits for datagrams and for the next one that is due. A datagram's way begins at the time that the
/// kernel stamped on it, so that a thread that wakes late makes up for it as long as the latency lasts; what is late all the same is
/// the delay error, and is reported.
///
/// Not checked for races: everything but `control` belongs to the relay's thread between `start` and `stop`.
final class Relay: @unchecked Sendable {
    enum Bounds {
        /// Datagrams that are on their way at the same time.
        static let heldDatagrams = 262_144
        /// Their bytes together.
        static let heldBytes = 256 << 20
        /// Datagrams that are taken from one socket before the others get their turn.
        static let batch = 64
        /// How long the thread sleeps at most: it looks for its end in between.
        static let sleep: Duration = .milliseconds(50)
    }

    private struct Control {
        var isStopping = false
        /// When the scenario began; until then links work, and nothing is counted and no fault strikes.
        var zero: Instant?
        /// The report, as somebody who asked for it gets it at the next turn.
        var snapshot: RelayReport?
        var wantsSnapshot = false
    }

    private struct Held {
        let from: Int
        let to: Int
        let bytes: [UInt8]
    }

    let plan: LoopbackPlan
    private let nodes: Int
    private let control = Mutex(Control())
    private let asked = DispatchSemaphore(value: 0)
    private let ended = DispatchSemaphore(value: 0)
    private var sockets: RelaySockets
    private var network: Network
    private let timeline: NetworkTimeline
    private var nextChange = 0
    private var zero: Instant?
    private var held = EventHeap<Held>()
    private var heldBytes = 0
    private var report = RelayReport()
    private var dropsAtZero: UInt64 = 0
    private var buffer: UnsafeMutableRawBufferPointer
    private var ancillary: UnsafeMutableRawBufferPointer
    /// Where bits of corrupted datagrams are turned over.
    private var flips: Random
    /// Slows the thread down by this much at each turn, to see whether the measurement notices. For tests only.
    private let stall: Duration

    /// Binds the addresses of all agents, at a port that nobody uses.
    ///
    /// - Throws: `LiveError` when there is none.
    init(nodes: Int, network: Network, timeline: NetworkTimeline, random: Random, stall: Duration = .zero) throws(LiveError) {
        self.nodes = nodes
        self.network = network
        self.stall = stall
        self.timeline = timeline
        flips = random
        (sockets, plan) = try RelaySockets.bind(nodes)
        buffer = .allocate(byteCount: 65_536, alignment: 16)
        ancillary = .allocate(byteCount: 256, alignment: 16)
    }

    deinit {
        buffer.deallocate()
        ancillary.deallocate()
    }

    /// Starts to forward.
    func start() {
        let thread = Thread { [self] in
            Self.wakePunctually()
            run()
            ended.signal()
        }
        thread.name = "relay"
        thread.start()
    }

    /// Asks the kernel not to put off this thread's wakeups, to save others, by the 50 µs that it usually may. Where it refuses, the delay
    /// error is larger by that.
    private static func wakePunctually() {
        guard let thread = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self"),
            let file = fopen("/proc/\(thread.split(separator: "/").last ?? "")/timerslack_ns", "w")
        else { return }
        fputs("1", file)
        fclose(file)
    }

    /// The scenario begins: from now on faults strike and everything is counted.
    func begin(at zero: Instant) { control.withLock { $0.zero = zero } }

    /// What it did until now; it goes on.
    func snapshot() -> RelayReport {
        control.withLock { $0.wantsSnapshot = true }
        asked.wait()
        return control.withLock { $0.snapshot ?? RelayReport() }
    }

    /// Ends the thread and says what it did. Must be called once after `start`.
    func stop() -> RelayReport {
        control.withLock { $0.isStopping = true }
        ended.wait()
        return current
    }

    private var current: RelayReport {
        var report = report
        report.socketDrops = sockets.drops - dropsAtZero
        return report
    }

    // MARK: The thread

    private func run() {
        while true {
            let (isStopping, begins, wantsSnapshot) = control.withLock { ($0.isStopping, $0.zero, $0.wantsSnapshot) }
            if wantsSnapshot {
                control.withLock {
                    $0.wantsSnapshot = false
                    $0.snapshot = current
                }
                asked.signal()
            }
            if isStopping { return }
            if zero == nil, let begins, Monotonic.now >= begins {
                zero = begins
                dropsAtZero = sockets.drops
            }
            let now = Monotonic.now
            let due = held.firstTime.map { Duration.nanoseconds(max(0, $0 - now.nanoseconds)) } ?? Bounds.sleep
            sockets.wait(min(due, Bounds.sleep))
            if stall > .zero { Thread.sleep(forTimeInterval: Double(stall.nanoseconds) / 1e9) }
            sendDue()
            let offset = Monotonic.wallOffset
            for index in 0..<nodes where sockets.isReadable(index) {
                for _ in 0..<Bounds.batch {
                    guard let arrival = sockets.receive(at: index, into: buffer, control: ancillary) else { break }
                    take(arrival, to: index, wallOffset: offset)
                }
                sendDue()
            }
        }
    }

    private func sendDue() {
        while let time = held.firstTime {
            let now = Monotonic.now
            guard time <= now.nanoseconds, let (_, datagram) = held.pop() else { return }
            heldBytes -= datagram.bytes.count
            let outcome = sockets.send(datagram.bytes, from: datagram.from, to: plan.bound(datagram.to))
            guard zero != nil else { continue }
            report.delayError.record(now - Instant(nanoseconds: time))
            switch outcome {
            case .sent:
                report.delivered += 1
                report.deliveredBytes += UInt64(datagram.bytes.count)
            case .refused: report.refused += 1
            }
        }
    }

    /// Decides what becomes of a datagram that was sent to agent `to`.
    private func take(_ arrival: RelaySocket.Arrival, to: Int, wallOffset: Int64) {
        guard let from = LoopbackPlan.index(ofBound: arrival.from, among: nodes), arrival.fromPort == plan.port, from != to else {
            count { $0.unroutable += 1 }
            return
        }
        let now = Monotonic.now
        // A wall clock that was set meanwhile makes stamps of any kind: the way never begins in the future.
        let began = min(now, arrival.stamp.map { Instant(nanoseconds: $0 - wallOffset) } ?? now)
        let zero = zero ?? began
        let scenario = Instant.zero + (began - zero)
        strike(until: scenario)
        if network.isCut(from: from, to: to) { return count { $0.cut += 1 } }
        let bytes = Array(UnsafeRawBufferPointer(rebasing: buffer[..<arrival.count]))
        switch network.sendDatagram(bytes.count, from: from, to: to, at: scenario) {
        case .delivered(let at): hold(bytes, from, to, until: zero + (at - .zero))
        case .deliveredTwice(let first, let second):
            count { $0.doubled += 1 }
            hold(bytes, from, to, until: zero + (first - .zero))
            hold(bytes, from, to, until: zero + (second - .zero))
        case .lost:
            count {
                $0.lost += 1
                $0.firstLoss = $0.firstLoss ?? scenario
            }
        case .corrupted:
            count { $0.corrupted += 1 }
            hold(damaged(bytes), from, to, until: began + network.typicalLatency(from: from, to: to))
        case .queueFull: count { $0.queueFull += 1 }
        }
    }

    private func hold(_ bytes: [UInt8], _ from: Int, _ to: Int, until due: Instant) {
        guard held.count < Bounds.heldDatagrams, heldBytes + bytes.count <= Bounds.heldBytes else { return count { $0.overflow += 1 } }
        heldBytes += bytes.count
        held.push(Held(from: from, to: to, bytes: bytes), at: due.nanoseconds)
    }

    /// The faults of the network whose time has come.
    private func strike(until now: Instant) {
        guard zero != nil else { return }
        while nextChange < timeline.count, timeline.time(of: nextChange) <= now {
            network.apply(nextChange, of: timeline)
            nextChange += 1
        }
    }

    /// Turns over up to eight bits.
    private func damaged(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        guard !bytes.isEmpty else { return bytes }
        for _ in 0..<(1 + flips.below(8)) { bytes[flips.below(bytes.count)] ^= 1 << UInt8(flips.below(8)) }
        return bytes
    }

    private func count(_ change: (inout RelayReport) -> Void) {
        if zero != nil { change(&report) }
    }
}
