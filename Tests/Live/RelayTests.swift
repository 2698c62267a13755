// Goal: the relay does to real datagrams what the scenario's links and faults say, and knows when it was late.
// Method: sockets on loopback stand for agents; which datagrams arrive is counted, and the model's own draws say which must.

import Foundation
import PatinaProtocol
import PatinaSim
import Testing

@testable import PatinaLive

/// A relay, and sockets in the place of its agents.
final class RelayBench {
    let relay: Relay
    let agents: [RelaySocket]
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2_048, alignment: 16)
    private let control = UnsafeMutableRawBufferPointer.allocate(byteCount: 256, alignment: 16)

    /// - Parameters:
    ///   - link: lines of the scenario's only link.
    ///   - faults: further tables of the scenario.
    init(nodes: Int = 3, link: String = "latency = \"2ms\"", faults: String = "", stall: Duration = .zero) throws {
        let scenario = try Scenario.parse(
            """
            format = 1
            name = "relay"
            about = "Datagrams between sockets."
            [run]
            duration = "60s"
            warmup = "1ms"
            drain = "1s"
            [topology]
            nodes = \(nodes)
            [[link]]
            \(link)
            \(faults)
            [[check]]
            never = "malformed-input"
            """, file: "relay.toml")
        let root = Random(seed: 7)
        relay = try Relay(
            nodes: nodes, network: Network(scenario: scenario, random: root.fork("link")),
            timeline: NetworkTimeline(FaultPlan(scenario: scenario, random: root.fork("faults"))), random: root.fork("flips"), stall: stall)
        let plan = relay.plan
        agents = try (0..<nodes).map { try RelaySocket(bind: plan.bound($0)) }
        relay.start()
        relay.begin(at: Monotonic.now)
        // Until the thread has noticed.
        Thread.sleep(forTimeInterval: 0.1)
    }

    deinit {
        buffer.deallocate()
        control.deallocate()
    }

    func send(_ number: Int, from: Int, to: Int) {
        let bytes = withUnsafeBytes(of: UInt32(number)) { Array($0) }
        #expect(agents[from].send(bytes, to: relay.plan.advertised(to)) == .sent)
    }

    /// What reaches an agent until `count` datagrams are there or nothing has come for so long: who each seems to come from, and its
    /// number.
    func received(at agent: Int, _ count: Int, patience: Double = 1) -> [(from: Int?, number: Int)] {
        var found: [(from: Int?, number: Int)] = []
        var end = Date.now + patience
        while found.count < count, Date.now < end {
            guard let arrival = agents[agent].receive(into: buffer, control: control) else {
                Thread.sleep(forTimeInterval: 0.001)
                continue
            }
            end = Date.now + patience
            let from = LoopbackPlan.index(ofAdvertised: Address(ipv4: arrival.from, port: arrival.fromPort), among: agents.count)
            found.append((from, Int(buffer.loadUnaligned(as: UInt32.self))))
        }
        return found
    }
}

@Suite(.serialized) struct RelayTests {
    @Test("relay: a datagram seems to come from where the others believe its sender to be, and each arrives once")
    func forwards() throws {
        let bench = try RelayBench()
        for number in 0..<50 {
            bench.send(number, from: 0, to: 1)
            bench.send(100 + number, from: 2, to: 1)
        }
        let found = bench.received(at: 1, 100)
        #expect(found.count == 100)
        #expect(found.filter { $0.from == 0 }.map(\.number).sorted() == Array(0..<50))
        #expect(found.filter { $0.from == 2 }.map(\.number).sorted() == Array(100..<150))
        bench.send(7, from: 1, to: 0)
        #expect(bench.received(at: 0, 1).map(\.number) == [7])
        let report = bench.relay.stop()
        #expect(report.delivered == 101)
        #expect(report.deliveredBytes == 404)
        #expect(report.delayError.count == 101)
        #expect(report.socketDrops == 0)
    }

    @Test("relay: the datagrams that are lost, doubled and damaged are those that the link's own draws say")
    func losesBySeed() throws {
        let link = "latency = \"1ms\"\nloss = \"20%\"\nduplicate = \"10%\""
        var seen: [[Int]] = []
        for _ in 0..<2 {
            let bench = try RelayBench(link: link)
            for number in 0..<200 {
                bench.send(number, from: 0, to: 1)
                // In the order of sending: draws follow each other.
                if number % 20 == 19 { Thread.sleep(forTimeInterval: 0.005) }
            }
            seen.append(bench.received(at: 1, 400, patience: 0.3).map(\.number).sorted())
            let report = bench.relay.stop()
            #expect(report.lost > 20)
            #expect(report.doubled > 5)
            #expect(report.delivered == 200 - report.lost + report.doubled)
            #expect(report.firstLoss != nil)
        }
        #expect(seen[0] == seen[1])
    }

    @Test("relay: a partition cuts what crosses it, and ends when its fault does")
    func partitions() throws {
        let bench = try RelayBench(
            faults: """
                [[fault]]
                id = "cut"
                kind = "partition"
                sides = [["node:0"], ["rest"]]
                at = "0s"
                for = "1s"
                """)
        bench.send(1, from: 0, to: 1)
        bench.send(2, from: 1, to: 0)
        bench.send(3, from: 1, to: 2)
        #expect(bench.received(at: 2, 1).map(\.number) == [3])
        Thread.sleep(forTimeInterval: 1)
        bench.send(4, from: 0, to: 1)
        #expect(bench.received(at: 1, 1).map(\.number) == [4])
        let report = bench.relay.stop()
        #expect(report.cut == 2)
        #expect(report.delivered == 2)
    }

    @Test("relay: what a clog holds back comes out at its end")
    func clogs() throws {
        let bench = try RelayBench(
            faults: """
                [[fault]]
                id = "clog"
                kind = "clog"
                at = "0s"
                for = "1s"
                """)
        for number in 0..<10 { bench.send(number, from: 0, to: 1) }
        #expect(bench.received(at: 1, 10, patience: 0.3).isEmpty)
        #expect(bench.received(at: 1, 10, patience: 2).map(\.number).sorted() == Array(0..<10))
        #expect(bench.relay.stop().delivered == 10)
    }

    @Test("relay: a corrupted datagram arrives, and its bits are not what they were")
    func corrupts() throws {
        let bench = try RelayBench(
            faults: """
                [[fault]]
                id = "dirt"
                kind = "corrupt"
                share = "100%"
                at = "0s"
                for = "30s"
                """)
        bench.send(77, from: 0, to: 1)
        let found = bench.received(at: 1, 1)
        #expect(found.count == 1)
        #expect(found.first?.number != 77)
        #expect(bench.relay.stop().corrupted == 1)
    }

    @Test("relay: strangers are not forwarded, and are counted")
    func strangers() throws {
        let bench = try RelayBench()
        let stranger = try RelaySocket(bind: Address(ipv4: 0x7F01_0001, port: 0))
        #expect(stranger.send([1, 2, 3, 4], to: bench.relay.plan.advertised(1)) == .sent)
        bench.send(1, from: 1, to: 1)
        #expect(bench.received(at: 1, 1, patience: 0.3).isEmpty)
        #expect(bench.relay.stop().unroutable == 2)
    }

    @Test("relay: a thread that is held up reports by how much it missed the time")
    func stalls() throws {
        let bench = try RelayBench(stall: .milliseconds(30))
        for number in 0..<20 { bench.send(number, from: 0, to: 1) }
        #expect(bench.received(at: 1, 20).count == 20)
        let report = bench.relay.stop()
        // It slept 30 ms before each look, and the way is 2 ms long.
        #expect(report.delayError.milliseconds(percentile: 990) > 20)
    }
}
