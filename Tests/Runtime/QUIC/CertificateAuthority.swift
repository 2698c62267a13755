import CGnuTLS
import Foundation
import PatinaProtocol

@testable import PatinaRuntime

/// A certificate authority that lives for one test, made with GnuTLS, with its files in a directory that goes with it.
final class CertificateAuthority {
    let directory: URL
    private let key: gnutls_x509_privkey_t
    private let certificate: gnutls_x509_crt_t
    private var issued = 0

    init(name: String = "Test CA") throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "patina-quic-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        key = try makeKey()
        certificate = try makeCertificate(subject: name, key: key, serial: 1)
        try check(gnutls_x509_crt_set_ca_status(certificate, 1))
        try check(gnutls_x509_crt_set_key_usage(certificate, UInt32(GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN)))
        try check(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0))
        try export(certificate, to: authorityFile)
    }

    deinit {
        gnutls_x509_crt_deinit(certificate)
        gnutls_x509_privkey_deinit(key)
        try? FileManager.default.removeItem(at: directory)
    }

    var authorityFile: String { directory.appending(path: "ca.pem").path }

    /// A certificate for an IPv4 host, and its key, in files. RSA for other implementations: half of the ECDSA keys that this
    /// GnuTLS writes are refused by Python's cryptography package for their encoding.
    func issue(host: String = "127.0.0.1", rsa: Bool = false) throws -> QUICKeyPair {
        issued += 1
        let pair = QUICKeyPair(
            certificate: directory.appending(path: "\(issued).pem").path, key: directory.appending(path: "\(issued).key").path)
        let holder = try makeKey(rsa: rsa)
        defer { gnutls_x509_privkey_deinit(holder) }
        let leaf = try makeCertificate(subject: "node \(issued)", key: holder, serial: UInt8(issued + 1))
        defer { gnutls_x509_crt_deinit(leaf) }
        guard let ipv4 = Address("\(host):1")?.ipv4 else { throw CocoaError(.formatting) }
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: ipv4 >> (24 - 8 * UInt32($0))) }
        try check(gnutls_x509_crt_set_subject_alt_name(leaf, GNUTLS_SAN_IPADDRESS, bytes, 4, UInt32(GNUTLS_FSAN_SET)))
        try check(gnutls_x509_crt_sign2(leaf, certificate, key, GNUTLS_DIG_SHA256, 0))
        try export(leaf, to: pair.certificate)
        var text = gnutls_datum_t()
        // PKCS #8, which is what other implementations read.
        try check(gnutls_x509_privkey_export2_pkcs8(holder, GNUTLS_X509_FMT_PEM, nil, UInt32(GNUTLS_PKCS_PLAIN.rawValue), &text))
        try write(text, to: pair.key)
        return pair
    }

    /// Mutual TLS under this authority.
    func mutualTLS(host: String = "127.0.0.1") throws -> QUICSecurity {
        let pair = try issue(host: host)
        return .mutualTLS(certificate: pair.certificate, key: pair.key, authority: authorityFile)
    }
}

private func makeKey(rsa: Bool = false) throws -> gnutls_x509_privkey_t {
    var key: gnutls_x509_privkey_t?
    try check(gnutls_x509_privkey_init(&key))
    guard let key else { throw CocoaError(.featureUnsupported) }
    try check(gnutls_x509_privkey_generate(key, rsa ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA, rsa ? 2_048 : 256, 0))
    return key
}

private func makeCertificate(subject: String, key: gnutls_x509_privkey_t, serial: UInt8) throws -> gnutls_x509_crt_t {
    var made: gnutls_x509_crt_t?
    try check(gnutls_x509_crt_init(&made))
    guard let made else { throw CocoaError(.featureUnsupported) }
    let now = time(nil)
    try check(gnutls_x509_crt_set_version(made, 3))
    try check(gnutls_x509_crt_set_serial(made, [serial], 1))
    try check(gnutls_x509_crt_set_activation_time(made, now - 3_600))
    try check(gnutls_x509_crt_set_expiration_time(made, now + 86_400))
    try check(gnutls_x509_crt_set_dn_by_oid(made, GNUTLS_OID_X520_COMMON_NAME, 0, subject, UInt32(subject.utf8.count)))
    try check(gnutls_x509_crt_set_key(made, key))
    return made
}

private func export(_ certificate: gnutls_x509_crt_t, to path: String) throws {
    var text = gnutls_datum_t()
    try check(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &text))
    try write(text, to: path)
}

private func write(_ text: gnutls_datum_t, to path: String) throws {
    defer { free(text.data) }
    try Data(bytes: text.data, count: Int(text.size)).write(to: URL(filePath: path))
}

private func check(_ result: CInt) throws {
    guard result >= 0 else { throw QUICError.library(call: "GnuTLS", reason: tlsError(result)) }
}
