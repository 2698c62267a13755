import CGnuTLS
import Glibc

/// A self-signed certificate that lives as long as the process: QUIC cannot do without one, even where nobody is verified.
final class EphemeralCertificate {
    let key: gnutls_x509_privkey_t
    let certificate: gnutls_x509_crt_t

    init() throws(QUICError) {
        var madeKey: gnutls_x509_privkey_t?
        try check("gnutls_x509_privkey_init", gnutls_x509_privkey_init(&madeKey))
        guard let madeKey else { throw .library(call: "gnutls_x509_privkey_init", reason: "no key") }
        var madeCertificate: gnutls_x509_crt_t?
        do {
            try check("gnutls_x509_crt_init", gnutls_x509_crt_init(&madeCertificate))
        } catch {
            gnutls_x509_privkey_deinit(madeKey)
            throw error
        }
        guard let madeCertificate else { throw .library(call: "gnutls_x509_crt_init", reason: "no certificate") }
        key = madeKey
        certificate = madeCertificate
        try check("gnutls_x509_privkey_generate", gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, 256, 0))
        try fill()
    }

    deinit {
        gnutls_x509_crt_deinit(certificate)
        gnutls_x509_privkey_deinit(key)
    }

    private func fill() throws(QUICError) {
        var serial: [UInt8] = Array(repeating: 0, count: 16)
        serial.withUnsafeMutableBytes { fillRandom($0) }
        serial[0] = serial[0] & 0x3F | 0x40
        let name = "patina ephemeral"
        let now = time(nil)
        try check("gnutls_x509_crt_set_version", gnutls_x509_crt_set_version(certificate, 3))
        try check("gnutls_x509_crt_set_serial", gnutls_x509_crt_set_serial(certificate, serial, serial.count))
        try check("gnutls_x509_crt_set_activation_time", gnutls_x509_crt_set_activation_time(certificate, now - 86_400))
        try check("gnutls_x509_crt_set_expiration_time", gnutls_x509_crt_set_expiration_time(certificate, now + 3_650 * 86_400))
        try check(
            "gnutls_x509_crt_set_dn_by_oid",
            gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, name, UInt32(name.utf8.count)))
        try check("gnutls_x509_crt_set_key", gnutls_x509_crt_set_key(certificate, key))
        try check("gnutls_x509_crt_sign2", gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0))
    }
}

private func check(_ call: String, _ result: CInt) throws(QUICError) {
    guard result >= 0 else { throw .library(call: call, reason: tlsError(result)) }
}
