import CNgtcp2
import Glibc
import NIOCore
import PatinaProtocol
import Testing

@testable import PatinaRuntime

/// Goal: the small parts keep their promises without any network.
@Suite struct QUICPartsTests {
    @Test("rate limit: a burst, then so many a second, and the ones left out are told")
    func rateLimit() {
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
        var limit = RateLimit(burst: 3, perSecond: 2, now: start)
        #expect((0..<5).map { _ in limit.take(now: start) } == [0, 0, 0, nil, nil])
        #expect(limit.take(now: start + .milliseconds(499)) == nil)
        #expect(limit.take(now: start + .milliseconds(500)) == 3)
        #expect(limit.take(now: start + .seconds(1_000)) == 0)
        // Time that runs backwards grants nothing.
        #expect((0..<4).map { _ in limit.take(now: start) } == [0, 0, nil, nil])
    }

    @Test("connection ID: the library's form and back, for every length", arguments: 0...20)
    func connectionID(count: Int) throws {
        let bytes = pattern(count, 7)
        let id = try #require(bytes.withUnsafeBytes { ConnectionID($0) })
        #expect(ConnectionID(id.cid) == id)
        #expect(id.cid.datalen == count)
        #expect(withUnsafeBytes(of: id.cid.data) { Array($0.prefix(count)) } == bytes)
        #expect(ConnectionID.random() != ConnectionID.random())
        let long = [UInt8](repeating: 0, count: 21)
        #expect(long.withUnsafeBytes { ConnectionID($0) } == nil)
    }

    @Test("connection ID: a zero byte at the end is not lost")
    func zeroes() {
        let short = [UInt8](repeating: 0, count: 8).withUnsafeBytes { ConnectionID($0) }
        let long = [UInt8](repeating: 0, count: 16).withUnsafeBytes { ConnectionID($0) }
        #expect(short != long)
    }

    @Test("send buffer: pieces go out in order, and are freed as they are acknowledged, wherever the cut is")
    func sendBuffer() {
        var buffer = SendBuffer()
        buffer.append([1, 2, 3], after: .session)
        buffer.append([])
        buffer.append([4, 5])
        #expect(buffer.unsent == 6 && buffer.unacknowledged == 6)
        func unsent() -> [UInt8] {
            let vectors = UnsafeMutableBufferPointer<ngtcp2_vec>.allocate(capacity: 4)
            defer { vectors.deallocate() }
            let (count, bytes) = buffer.fill(vectors)
            let all = vectors[..<count].flatMap { Array(UnsafeBufferPointer(start: $0.base, count: $0.len)) }
            #expect(all.count == Int(bytes))
            return all
        }
        #expect(unsent() == [2, 1, 2, 3, 4, 5])
        buffer.advance(by: 5)
        #expect(unsent() == [5])
        #expect(buffer.acknowledge(to: 2) == 2)
        #expect(buffer.acknowledge(to: 2) == 0)
        #expect(buffer.acknowledge(to: 5) == 3)
        buffer.append([6])
        #expect(unsent() == [5, 6])
        buffer.advance(by: 2)
        #expect(buffer.acknowledge(to: 7) == 2)
        #expect(buffer.unacknowledged == 0 && buffer.unsent == 0 && unsent().isEmpty)
    }

    @Test("closed connection: answers the first, second, fourth and eighth late packet")
    func lateAnswers() {
        let closed = ClosedConnection(remote: Address(ipv4: 1, port: 1), packet: [9])
        #expect((1...9).filter { _ in closed.answer() != nil }.count == 4)
        #expect(ClosedConnection(remote: Address(ipv4: 1, port: 1), packet: nil).answer() == nil)
    }

    @Test("addresses: to the system's form and back", arguments: ["127.0.0.1:1", "10.1.2.3:65535", "[::1]:7", "[2001:db8::5]:4001"])
    func addresses(text: String) throws {
        let address = try #require(Address(text))
        #expect(Address(try SocketAddress(ipAddress: address.host, port: Int(address.port))) == address)
        #expect(address.canBeDialled)
        #expect(SocketAddressStorage(address, family: AF_INET6) != nil)
        #expect((SocketAddressStorage(address, family: AF_INET) != nil) == (address.ipv4 != nil))
    }
}
