import PatinaProtocol
import Testing

@testable import PatinaRuntime

@Suite struct BootstrapTests {
    @Test(
        "bootstrap: entries that are understood (text)",
        arguments: [
            ("10.0.0.1:5000", "10.0.0.1:5000"), ("10.0.0.1", "10.0.0.1:4001"), ("[2001:db8::1]:5000", "[2001:db8::1]:5000"),
            ("[2001:db8::1]", "[2001:db8::1]:4001"), ("2001:db8::1", "[2001:db8::1]:4001"),
        ])
    func addresses(text: String, expected: String) throws {
        #expect(try BootstrapEntry(text) == .address(#require(Address(expected))))
    }

    @Test("bootstrap: names, with and without a port")
    func names() throws {
        #expect(try BootstrapEntry("seed.example:7000") == .name(host: "seed.example", port: 7_000))
        #expect(try BootstrapEntry("seed-1.my_zone.internal") == .name(host: "seed-1.my_zone.internal", port: 4_001))
    }

    @Test(
        "bootstrap: entries that are refused with a reason (text)",
        arguments: [
            "", "host:", ":4001", "host:0", "host:70000", "host:+1", "10.0.0.1:0", "a b:1", "[::1:4001", "h\u{0}st:1", "host:1:2",
            "host:1@9.9.9.9",
        ])
    func refused(text: String) {
        let error = #expect(throws: RuntimeError.self) { try BootstrapEntry(text) }
        #expect(error?.description.isEmpty == false)
    }

    @Test("bootstrap: random text is understood or refused, never worse (seed)", arguments: 0..<8 as Range<UInt64>)
    func fuzz(seed: UInt64) {
        var random = Random(seed: seed)
        let alphabet = Array("abz019.:[]-_@% \u{e9}\u{0}")
        for _ in 0..<2_000 {
            let text = String((0..<random.below(24)).map { _ in alphabet[random.below(alphabet.count)] })
            if case .name(let host, let port)? = try? BootstrapEntry(text) {
                #expect(!host.isEmpty && port > 0)
            }
        }
    }

    @Test("bootstrap: the own address, repetitions and what the socket cannot reach are left out")
    func resolution() throws {
        let entries = try ["127.0.0.1:1", "127.0.0.1:2", "[::1]:3", "127.0.0.1:2"].map { try BootstrapEntry($0) }
        let own = try #require(Address("127.0.0.1:1"))
        let other = try #require(Address("127.0.0.1:2"))
        let six = try #require(Address("[::1]:3"))
        #expect(BootstrapResolver(entries: entries, own: own, isIPv4Only: true).literal == [other])
        let resolver = BootstrapResolver(entries: entries, own: own, isIPv4Only: false)
        #expect(resolver.literal == [other, six])
        #expect(!resolver.hasNames)
        #expect(resolver.resolve().addresses == [other, six])
    }

    @Test("bootstrap: the system resolves localhost, and says why a name has no address")
    func systemResolver() throws {
        // No name server is asked for this one: labels have at most 63 characters.
        let long = String(repeating: "a", count: 64) + ".invalid"
        let own = try #require(Address("127.0.0.1:1"))
        let entries = try ["localhost:7", "\(long):7"].map { try BootstrapEntry($0) }
        let resolution = BootstrapResolver(entries: entries, own: own, isIPv4Only: true).resolve()
        #expect(resolution.addresses == [Address(ipv4: 0x7F00_0001, port: 7)])
        #expect(resolution.failures.map(\.host) == [long])
        #expect(resolution.failures.allSatisfy { !$0.reason.isEmpty })
    }
}
