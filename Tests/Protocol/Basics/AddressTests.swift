import Testing

@testable import PatinaProtocol

@Suite struct AddressTests {
    @Test(
        "address: text is read, and written as RFC 5952 says",
        arguments: [
            ("10.0.0.1:4001", "10.0.0.1:4001"), ("0.0.0.0:0", "0.0.0.0:0"), ("255.255.255.255:65535", "255.255.255.255:65535"),
            ("[::]:1", "[::]:1"), ("[::1]:4001", "[::1]:4001"), ("[1::]:1", "[1::]:1"),
            ("[2001:0db8:0000:0000:0000:0000:0000:0001]:80", "[2001:db8::1]:80"), ("[2001:DB8::ABCD]:80", "[2001:db8::abcd]:80"),
            // One zero group is not shortened.
            ("[2001:db8:0:1:1:1:1:1]:1", "[2001:db8:0:1:1:1:1:1]:1"), ("[2001:db8::1:1:1:1:1]:1", "[2001:db8:0:1:1:1:1:1]:1"),
            // The longest run is, and of two equal ones the first.
            ("[2001:0:0:1:0:0:0:1]:1", "[2001:0:0:1::1]:1"), ("[2001:db8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1"),
            ("[0:0:1:0:0:0:0:0]:1", "[0:0:1::]:1"), ("[1:2:3:4:5:6:0:0]:1", "[1:2:3:4:5:6::]:1"),
            ("[1:2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6:7:8]:1"),
            // IPv4 in its IPv6 forms.
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"), ("[::ffff:a00:1]:80", "10.0.0.1:80"),
            ("[64:ff9b::192.0.2.33]:1", "[64:ff9b::c000:221]:1"),
            ("[1:2:3:4:5:6:1.2.3.4]:1", "[1:2:3:4:5:6:102:304]:1"), ("[::1.2.3.4]:1", "[::102:304]:1"),
        ])
    func parse(text: String, canonical: String) throws {
        let address = try #require(Address(text))
        #expect(address.description == canonical)
        #expect(Address(canonical) == address)
    }

    @Test(
        "address: other text is refused",
        arguments: [
            "", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0.1:+1", "10.0.0.1:٣", "10.0.0:1", "10.0.0.1.2:1",
            "256.0.0.1:1", "010.0.0.1:1", "10..0.1:1", "1e1.0.0.1:1", "localhost:1", "10.0.0.1 :1", "::1:80", "2001:db8::1:80", "[::1]",
            "[::1]80", "[::1:80", "::1]:80", "[]:1", "[:]:1", "[:::]:1", "[1::2::3]:1", "[12345::]:1", "[g::]:1", "[1:2:3:4:5:6:7]:1",
            "[1:2:3:4:5:6:7:8:9]:1", "[1:2:3:4:5:6:7:8::]:1", "[1.2.3.4::]:1", "[1:1.2.3.4::5]:1", "[1.2.3.4:1::]:1", "[::1.2.3]:1",
            "[::01.2.3.4]:1", "[fe80::1%eth0]:1", "[10.0.0.1]:1", "[+1::]:1",
        ])
    func refused(text: String) { #expect(Address(text) == nil) }

    @Test("address: what is written is read (random)")
    func roundTrip() {
        var random = Random(seed: 1)
        for _ in 0..<2_000 {
            // Groups of zero are common, so that every shape of shortening comes up.
            let groups = (0..<8).map { _ in random.below(2) == 0 ? 0 : random.next() & 0xFFFF }
            let address = Address(
                high: groups[0..<4].reduce(0) { $0 << 16 | $1 }, low: groups[4..<8].reduce(0) { $0 << 16 | $1 },
                port: UInt16(truncatingIfNeeded: random.next()))
            #expect(Address(address.description) == address)
        }
    }

    @Test("address: no text traps (random and mutated)")
    func fuzz() {
        var random = Random(seed: 2)
        let alphabet = Array("0123456789abcdefF:.[]%- ".utf8)
        for _ in 0..<5_000 {
            var text = (0..<random.below(24)).map { _ in alphabet[random.below(alphabet.count)] }
            if random.below(2) == 0 {
                text = Array("[2001:db8::10.0.0.1]:4001".utf8)
                for _ in 0...random.below(3) { text[random.below(text.count)] = alphabet[random.below(alphabet.count)] }
            }
            if let address = Address(String(decoding: text, as: UTF8.self)) { #expect(Address(address.description) == address) }
        }
    }

    @Test("address: IPv4 is kept apart from IPv6, and the order is by address, then port")
    func order() {
        let ipv4 = Address(ipv4: 0x0A00_0001, port: 1)
        #expect(ipv4.ipv4 == 0x0A00_0001)
        #expect(ipv4.host == "10.0.0.1")
        #expect(Address(high: 0, low: 0x0A00_0001, port: 1).ipv4 == nil)
        #expect(Address(high: 1, low: 0x0000_FFFF_0A00_0001, port: 1).ipv4 == nil)
        #expect(ipv4 < Address(ipv4: 0x0A00_0001, port: 2))
        #expect(Address(ipv4: 0x0A00_0001, port: 9) < Address(ipv4: 0x0A00_0002, port: 1))
        #expect(ipv4 < Address(high: 1, low: 0, port: 0))
    }
}
