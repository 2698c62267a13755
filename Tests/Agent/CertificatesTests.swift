import Foundation
import PatinaProtocol
import SwiftASN1
import Testing
import X509

@testable import PatinaAgent

@Suite("Certificates")
struct CertificatesTests {
    private func certificate(_ path: String) throws -> Certificate {
        try Certificate(pemEncoded: String(contentsOfFile: path, encoding: .utf8))
    }

    private func mode(_ path: String) throws -> Int {
        try #require((FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber)?.intValue)
    }

    private func isTrusted(_ leaf: Certificate, by root: Certificate) async -> Bool {
        var verifier = Verifier(rootCertificates: CertificateStore([root])) { RFC5280Policy() }
        guard case .validCertificate = await verifier.validate(leaf: leaf, intermediates: CertificateStore([])) else { return false }
        return true
    }

    /// An authority, a server's and a client's certificate in a directory of their own.
    private func withFiles(_ body: (_ path: (String) -> String) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let path = { (name: String) in "\(directory)/\(name)" }
            let authority = AgentConfiguration.KeyPair(certificate: path("ca_cert.pem"), key: path("ca_key.pem"))
            try Certificates.generateAuthority(certificate: authority.certificate, key: authority.key)
            try Certificates.generateServer(
                hosts: ["127.0.0.1", "2001:db8::1", "node.internal"], authority: authority, certificate: path("server_cert.pem"),
                key: path("server_key.pem"))
            try Certificates.generateClient(authority: authority, certificate: path("client_cert.pem"), key: path("client_key.pem"))
            try await body(path)
        }
    }

    @Test("certificates: what an authority signs is trusted by it, and by no other")
    func chains() async throws {
        try await withFiles { path in
            let root = try certificate(path("ca_cert.pem"))
            let server = try certificate(path("server_cert.pem"))
            let client = try certificate(path("client_cert.pem"))
            #expect(await isTrusted(server, by: root))
            #expect(await isTrusted(client, by: root))
            try Certificates.generateAuthority(certificate: path("other_cert.pem"), key: path("other_key.pem"))
            let other = try certificate(path("other_cert.pem"))
            #expect(await !isTrusted(server, by: other))
            #expect(await !isTrusted(client, by: server))
        }
    }

    @Test("certificates: one can be valid until a moment that is past")
    func expired() async throws {
        try await withFiles { path in
            let end = Date(timeIntervalSinceNow: -3_600)
            try Certificates.generateClient(
                authority: .init(certificate: path("ca_cert.pem"), key: path("ca_key.pem")), certificate: path("old_cert.pem"),
                key: path("old_key.pem"), validUntil: end)
            let old = try certificate(path("old_cert.pem"))
            #expect(old.notValidBefore < old.notValidAfter && abs(old.notValidAfter.timeIntervalSince(end)) <= 1)
            #expect(await !isTrusted(old, by: try certificate(path("ca_cert.pem"))))
        }
    }

    @Test("certificates: names, validity and uses")
    func contents() async throws {
        try await withFiles { path in
            let root = try certificate(path("ca_cert.pem"))
            let server = try certificate(path("server_cert.pem"))
            let client = try certificate(path("client_cert.pem"))
            let day = 86_400.0
            #expect(root.subject.description == "CN=Corrosion Root CA" && root.issuer == root.subject)
            #expect((1_824...1_826).contains(root.notValidAfter.timeIntervalSinceNow / day))
            #expect(server.subject.description == "CN=r.u.local" && server.issuer == root.subject)
            #expect((364...366).contains(server.notValidAfter.timeIntervalSinceNow / day))
            #expect(server.notValidBefore < Date())
            #expect(
                try server.extensions.subjectAlternativeNames.map(Array.init) == [
                    .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
                    .ipAddress(ASN1OctetString(contentBytes: [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])),
                    .dnsName("node.internal"),
                ])
            #expect(try server.extensions.extendedKeyUsage == ExtendedKeyUsage([.serverAuth, .clientAuth]))
            #expect(try client.extensions.extendedKeyUsage == ExtendedKeyUsage([.clientAuth]))
            #expect(try client.extensions.subjectAlternativeNames == nil)
            #expect(try root.extensions.basicConstraints == .isCertificateAuthority(maxPathLength: nil))
            #expect(try server.extensions.basicConstraints == .notCertificateAuthority)
            #expect(server.signatureAlgorithm == .ecdsaWithSHA384)
        }
    }

    @Test("certificates: keys are PKCS #8, and only their owner may read them")
    func keys() async throws {
        try await withFiles { path in
            for name in ["ca", "server", "client"] {
                #expect(try mode(path("\(name)_key.pem")) == 0o600)
                #expect(try mode(path("\(name)_cert.pem")) == 0o644)
                let text = try String(contentsOfFile: path("\(name)_key.pem"), encoding: .utf8)
                #expect(text.hasPrefix("-----BEGIN PRIVATE KEY-----\n") && text.hasSuffix("-----END PRIVATE KEY-----\n"))
                let key = try Certificate.PrivateKey(pemEncoded: text)
                #expect(try key.publicKey == certificate(path("\(name)_cert.pem")).publicKey)
            }
        }
    }

    @Test("certificates: nothing is overwritten unless it is asked for")
    func overwriting() async throws {
        try await withFiles { path in
            let authority = AgentConfiguration.KeyPair(certificate: path("ca_cert.pem"), key: path("ca_key.pem"))
            let before = try String(contentsOfFile: authority.key, encoding: .utf8)
            #expect(throws: CertificateError.exists(path: authority.certificate)) {
                try Certificates.generateAuthority(certificate: authority.certificate, key: authority.key)
            }
            // One of the two is enough, and the other is not written either.
            #expect(throws: CertificateError.exists(path: authority.key)) {
                try Certificates.generateAuthority(certificate: path("new.pem"), key: authority.key)
            }
            #expect(!FileManager.default.fileExists(atPath: path("new.pem")))
            #expect(try String(contentsOfFile: authority.key, encoding: .utf8) == before)

            try Certificates.generateClient(
                authority: authority, certificate: path("client_cert.pem"), key: path("client_key.pem"), force: true)
            #expect(try mode(path("client_key.pem")) == 0o600)
            #expect(await isTrusted(try certificate(path("client_cert.pem")), by: try certificate(authority.certificate)))
            #expect(try FileManager.default.contentsOfDirectory(atPath: path("")).allSatisfy { !$0.hasSuffix(".new") })
        }
    }

    @Test("certificates: what cannot be used says why")
    func errors() async throws {
        try await withFiles { path in
            func generate(_ certificate: String, _ key: String, _ hosts: [String] = ["127.0.0.1"]) -> String {
                do {
                    try Certificates.generateServer(
                        hosts: hosts, authority: .init(certificate: path(certificate), key: path(key)), certificate: path("x.pem"),
                        key: path("x.key"))
                    return "made"
                } catch {
                    return error.description.replacing(path(""), with: "")
                }
            }
            #expect(generate("none.pem", "ca_key.pem") == "cannot read none.pem: No such file or directory")
            #expect(generate("ca_key.pem", "ca_key.pem") == "ca_key.pem cannot be used: it is not a certificate in PEM form")
            #expect(generate("ca_cert.pem", "ca_cert.pem") == "ca_cert.pem cannot be used: it is not a private key in PEM form")
            #expect(generate("ca_cert.pem", "client_key.pem") == "the key client_key.pem does not belong to the certificate ca_cert.pem")
            #expect(generate("client_cert.pem", "client_key.pem") == "client_cert.pem cannot be used: it is no authority's certificate")
            #expect(generate("ca_cert.pem", "ca_key.pem", []) == "a server certificate needs at least one IP address or DNS name")
            for host in ["999.1.1.1", "a b", "-a", "a..b", "", "é"] {
                #expect(generate("ca_cert.pem", "ca_key.pem", [host]) == "\"\(host)\" is neither an IP address nor a DNS name")
            }
            #expect(!FileManager.default.fileExists(atPath: path("x.pem")))
            #expect(generate("ca_cert.pem", "ca_key.pem") == "made")
        }
    }
}
