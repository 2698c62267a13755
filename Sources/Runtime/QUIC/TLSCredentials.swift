import CGnuTLS
import Glibc

/// One GnuTLS credential: a certificate with its key, and the authorities that peers are held to.
final class TLSCredentials {
    let handle: gnutls_certificate_credentials_t

    init() throws(QUICError) {
        var made: gnutls_certificate_credentials_t?
        let result = gnutls_certificate_allocate_credentials(&made)
        guard result == 0, let made else {
            throw .library(call: "gnutls_certificate_allocate_credentials", reason: tlsError(result))
        }
        handle = made
    }

    deinit { gnutls_certificate_free_credentials(handle) }

    /// Trusts every certificate in a file.
    func trust(authorityFile path: String) throws(QUICError) {
        let count = withDatum(try readFile(path)) { datum in
            withUnsafePointer(to: datum) { gnutls_certificate_set_x509_trust_mem(handle, $0, certificateFormat(of: path)) }
        }
        guard count >= 0 else { throw .file(path: path, reason: "not a certificate authority: \(tlsError(count))") }
        guard count > 0 else { throw .file(path: path, reason: "holds no certificate") }
    }

    /// Presents a certificate, and the chain that follows it in its file.
    func present(_ pair: QUICKeyPair) throws(QUICError) {
        let certificates = try TLSCertificateList(file: pair.certificate)
        let key = try TLSPrivateKey(file: pair.key)
        let result = gnutls_certificate_set_x509_key(handle, certificates.pointer, CInt(certificates.count), key.handle)
        switch result {
        case 0...: return
        case GNUTLS_E_CERTIFICATE_KEY_MISMATCH:
            throw .file(path: pair.key, reason: "does not belong to the certificate in \(pair.certificate)")
        default: throw .file(path: pair.certificate, reason: "cannot be used: \(tlsError(result))")
        }
    }

    /// Presents a certificate that was made for this process.
    func present(_ certificate: EphemeralCertificate) throws(QUICError) {
        var list: [gnutls_x509_crt_t?] = [certificate.certificate]
        let result = gnutls_certificate_set_x509_key(handle, &list, 1, certificate.key)
        guard result >= 0 else { throw .library(call: "gnutls_certificate_set_x509_key", reason: tlsError(result)) }
    }
}

/// The certificates of one file, the holder's first.
private final class TLSCertificateList {
    let pointer: UnsafeMutablePointer<gnutls_x509_crt_t?>
    let count: UInt32

    init(file path: String) throws(QUICError) {
        var list: UnsafeMutablePointer<gnutls_x509_crt_t?>?
        var count: UInt32 = 0
        let result = withDatum(try readFile(path)) { datum in
            withUnsafePointer(to: datum) { gnutls_x509_crt_list_import2(&list, &count, $0, certificateFormat(of: path), 0) }
        }
        guard result >= 0, let list, count > 0 else {
            throw .file(path: path, reason: "not a certificate: \(tlsError(result))")
        }
        pointer = list
        self.count = count
    }

    deinit {
        for index in 0..<Int(count) { gnutls_x509_crt_deinit(pointer[index]) }
        free(pointer)
    }
}

private final class TLSPrivateKey {
    let handle: gnutls_x509_privkey_t

    init(file path: String) throws(QUICError) {
        let bytes = try readFile(path)
        var made: gnutls_x509_privkey_t?
        let result = gnutls_x509_privkey_init(&made)
        guard result == 0, let made else { throw .library(call: "gnutls_x509_privkey_init", reason: tlsError(result)) }
        handle = made
        let imported = withDatum(bytes) { datum in
            withUnsafePointer(to: datum) { gnutls_x509_privkey_import2(made, $0, certificateFormat(of: path), nil, 0) }
        }
        guard imported == 0 else { throw .file(path: path, reason: "not a private key: \(tlsError(imported))") }
    }

    deinit { gnutls_x509_privkey_deinit(handle) }
}

/// The most that a certificate or key file may hold, in bytes.
private let largestFile = 16 * 1_024 * 1_024

/// The content of a file, or an error that names it and says what the system said.
func readFile(_ path: String) throws(QUICError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .file(path: path, reason: systemError()) }
    defer { close(descriptor) }
    var content: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 64 * 1_024)
    while true {
        let count = block.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        if count == 0 { break }
        if count < 0 {
            if errno == EINTR { continue }
            throw .file(path: path, reason: systemError())
        }
        content += block[..<count]
        guard content.count <= largestFile else { throw .file(path: path, reason: "is over \(largestFile) bytes long") }
    }
    guard !content.isEmpty else { throw .file(path: path, reason: "is empty") }
    return content
}

private func certificateFormat(of path: String) -> gnutls_x509_crt_fmt_t {
    path.utf8.suffix(4).elementsEqual(".der".utf8) ? GNUTLS_X509_FMT_DER : GNUTLS_X509_FMT_PEM
}

private func withDatum<Result>(_ bytes: [UInt8], _ body: (gnutls_datum_t) -> Result) -> Result {
    var bytes = bytes
    let count = UInt32(bytes.count)
    return bytes.withUnsafeMutableBufferPointer { body(gnutls_datum_t(data: $0.baseAddress, size: count)) }
}

/// GnuTLS's words for one of its error codes.
func tlsError(_ code: CInt) -> String { gnutls_strerror(code).map { String(cString: $0) } ?? "error \(code)" }
