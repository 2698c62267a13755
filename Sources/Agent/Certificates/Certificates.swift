import Crypto
import Foundation
import PatinaProtocol
import SwiftASN1
import X509

/// Makes the certificates of a cluster: one authority, and with it a server and a client certificate for each node.
///
/// ECDSA on P-384, PEM, keys as PKCS #8 with mode 0600. Names, validity and files are Corrosion's.
public enum Certificates {
    public static let authorityCertificateFile = "ca_cert.pem"
    public static let authorityKeyFile = "ca_key.pem"
    public static let serverCertificateFile = "server_cert.pem"
    public static let serverKeyFile = "server_key.pem"
    public static let clientCertificateFile = "client_cert.pem"
    public static let clientKeyFile = "client_key.pem"

    /// How long an authority, and what it signs, is valid.
    private static let authorityDays = 5 * 365
    private static let leafDays = 365
    /// Certificates are valid from a little before they were made: clocks differ.
    private static let clockTolerance: TimeInterval = 3_600

    /// Makes an authority.
    ///
    /// - Parameters:
    ///   - force: replace files that are there; otherwise they are left alone and `CertificateError.exists` is thrown.
    public static func generateAuthority(
        certificate: String = authorityCertificateFile, key: String = authorityKeyFile, force: Bool = false
    ) throws(CertificateError) {
        let files = CertificateFiles(certificatePath: certificate, keyPath: key)
        try files.demandAbsence(unless: force)
        let privateKey = P384.Signing.PrivateKey()
        try issue(files, force: force, privateKey) {
            let name = try DistinguishedName { CommonName("Corrosion Root CA") }
            let identifier = subjectKeyIdentifier(of: privateKey.publicKey)
            return try make(
                subject: name, issuer: name, key: privateKey, issuerKey: .init(privateKey), days: authorityDays,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                    Critical(KeyUsage(digitalSignature: true, keyCertSign: true, cRLSign: true))
                    identifier
                })
        }
    }

    /// Makes a certificate for a node in the server's role.
    ///
    /// - Parameters:
    ///   - hosts: IP addresses, which peers check against the address that they dialled, or DNS names; at least one.
    ///   - authority: where `generateAuthority` wrote to.
    ///   - validUntil: nil: a year from now.
    public static func generateServer(
        hosts: [String], authority: AgentConfiguration.KeyPair = .init(certificate: authorityCertificateFile, key: authorityKeyFile),
        certificate: String = serverCertificateFile, key: String = serverKeyFile, validUntil: Date? = nil, force: Bool = false
    ) throws(CertificateError) {
        guard !hosts.isEmpty else { throw .noHost }
        var names: [GeneralName] = []
        for host in hosts { names.append(try name(of: host)) }
        try generateLeaf(
            CertificateFiles(certificatePath: certificate, keyPath: key), authority: authority, commonName: "r.u.local", names: names,
            // A node may use this certificate in both roles.
            usages: [.serverAuth, .clientAuth], validUntil: validUntil, force: force)
    }

    /// Makes a certificate for a node in the client's role.
    ///
    /// - Parameter validUntil: nil: a year from now.
    public static func generateClient(
        authority: AgentConfiguration.KeyPair = .init(certificate: authorityCertificateFile, key: authorityKeyFile),
        certificate: String = clientCertificateFile, key: String = clientKeyFile, validUntil: Date? = nil, force: Bool = false
    ) throws(CertificateError) {
        try generateLeaf(
            CertificateFiles(certificatePath: certificate, keyPath: key), authority: authority, commonName: "r.u.local", names: [],
            usages: [.clientAuth], validUntil: validUntil, force: force)
    }

    // MARK: Making

    private static func generateLeaf(
        _ files: CertificateFiles, authority: AgentConfiguration.KeyPair, commonName: String, names: [GeneralName],
        usages: [ExtendedKeyUsage.Usage], validUntil: Date?, force: Bool
    ) throws(CertificateError) {
        try files.demandAbsence(unless: force)
        let (issuer, issuerKey) = try load(authority)
        let privateKey = P384.Signing.PrivateKey()
        try issue(files, force: force, privateKey) {
            let identifier = subjectKeyIdentifier(of: privateKey.publicKey)
            let issuerIdentifier = try issuer.extensions.subjectKeyIdentifier?.keyIdentifier
            return try make(
                subject: try DistinguishedName { CommonName(commonName) }, issuer: issuer.subject, key: privateKey, issuerKey: issuerKey,
                days: leafDays, until: validUntil,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    try ExtendedKeyUsage(usages)
                    if !names.isEmpty { SubjectAlternativeNames(names) }
                    identifier
                    if let issuerIdentifier { AuthorityKeyIdentifier(keyIdentifier: issuerIdentifier) }
                })
        }
    }

    private static func issue(
        _ files: CertificateFiles, force: Bool, _ key: P384.Signing.PrivateKey, _ make: () throws -> Certificate
    ) throws(CertificateError) {
        let certificate: String
        do {
            certificate = try make().serializeAsPEM().pemString
        } catch {
            throw .malformed(path: files.certificatePath, reason: "\(error)")
        }
        try files.write(certificate: certificate + "\n", key: key.pemRepresentation + "\n", replacing: force)
    }

    private static func make(
        subject: DistinguishedName, issuer: DistinguishedName, key: P384.Signing.PrivateKey, issuerKey: Certificate.PrivateKey, days: Int,
        until: Date? = nil, extensions: Certificate.Extensions
    ) throws -> Certificate {
        let now = Date()
        let end = until ?? now.addingTimeInterval(TimeInterval(days) * 86_400)
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
            notValidBefore: min(now, end).addingTimeInterval(-clockTolerance), notValidAfter: end,
            issuer: issuer, subject: subject, extensions: extensions, issuerPrivateKey: issuerKey)
    }

    /// The first method of RFC 7093: 160 bits of the SHA-256 of the key.
    private static func subjectKeyIdentifier(of key: P384.Signing.PublicKey) -> SubjectKeyIdentifier {
        SubjectKeyIdentifier(keyIdentifier: Array(SHA256.hash(data: key.x963Representation))[..<20])
    }

    private static func load(_ authority: AgentConfiguration.KeyPair) throws(CertificateError) -> (Certificate, Certificate.PrivateKey) {
        let certificateText = try CertificateFiles.read(authority.certificate)
        let keyText = try CertificateFiles.read(authority.key)
        let certificate: Certificate
        do {
            certificate = try Certificate(pemEncoded: certificateText)
        } catch {
            throw .malformed(path: authority.certificate, reason: "it is not a certificate in PEM form")
        }
        let key: Certificate.PrivateKey
        do {
            key = try Certificate.PrivateKey(pemEncoded: keyText)
        } catch {
            throw .malformed(path: authority.key, reason: "it is not a private key in PEM form")
        }
        guard key.publicKey == certificate.publicKey else { throw .mismatch(certificate: authority.certificate, key: authority.key) }
        let constraints = try? certificate.extensions.basicConstraints
        guard case .isCertificateAuthority = constraints else {
            throw .malformed(path: authority.certificate, reason: "it is no authority's certificate")
        }
        return (certificate, key)
    }

    private static func name(of host: String) throws(CertificateError) -> GeneralName {
        let literal = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
        if let address = Address("\(literal):0") {
            let bytes =
                if let ipv4 = address.ipv4 {
                    withUnsafeBytes(of: ipv4.bigEndian) { Array($0) }
                } else {
                    ActorID(high: address.high, low: address.low).bytes
                }
            return .ipAddress(ASN1OctetString(contentBytes: bytes[...]))
        }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isName =
            host.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                    && label.utf8.allSatisfy { $0 == UInt8(ascii: "-") || ($0 < 0x80 && Character(Unicode.Scalar($0)).isLetterOrDigit) }
            }
        // A name of nothing but digits and dots is a mistyped address.
        guard isName, host.contains(where: \.isLetter) else { throw .host(host) }
        return .dnsName(host)
    }
}

extension Character {
    fileprivate var isLetterOrDigit: Bool { isASCII && (isLetter || isNumber) }
}
