import CGnuTLS
import CNgtcp2
import Glibc

/// What all TLS sessions of an endpoint share: credentials, algorithms, and the secret behind stateless resets.
final class TLSContext {
    let serverCredentials: TLSCredentials
    let clientCredentials: TLSCredentials
    /// Servers demand a certificate that chains to the authority.
    let verifiesClients: Bool
    /// Clients demand a certificate that chains to the authority and names the address.
    let verifiesServers: Bool
    /// The same after a restart with the same key file, so that a restarted endpoint can end connections that it forgot.
    let resetSecret: [UInt8]
    /// Signs the tokens of Retry packets.
    let retrySecret: [UInt8]
    let priority: gnutls_priority_t

    /// TLS 1.3 with the ciphers and groups that QUIC knows.
    private static let algorithms =
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-CCM:"
        + "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1:%DISABLE_TLS13_COMPAT_MODE"

    /// - Throws: `QUICError.file` for a file that is missing, unreadable or unfit; `QUICError.library`.
    init(_ security: QUICSecurity) throws(QUICError) {
        serverCredentials = try TLSCredentials()
        clientCredentials = try TLSCredentials()
        switch security {
        case .mutualTLS(let certificate, let key, let authority, let client):
            let server = QUICKeyPair(certificate: certificate, key: key)
            try serverCredentials.present(server)
            try serverCredentials.trust(authorityFile: authority)
            try clientCredentials.present(client ?? server)
            try clientCredentials.trust(authorityFile: authority)
            verifiesClients = true
            verifiesServers = true
            resetSecret = TLSContext.secret(from: try readFile(key))
        case .serverTLS(let certificate, let key, let authority):
            try serverCredentials.present(QUICKeyPair(certificate: certificate, key: key))
            if let authority { try clientCredentials.trust(authorityFile: authority) }
            verifiesClients = false
            verifiesServers = authority != nil
            resetSecret = TLSContext.secret(from: try readFile(key))
        case .plaintext:
            try serverCredentials.present(try EphemeralCertificate())
            verifiesClients = false
            verifiesServers = false
            // There is no secret to derive it from, and nothing that it would protect.
            resetSecret = TLSContext.secret(from: Array("patina plaintext".utf8))
        }
        var random = [UInt8](repeating: 0, count: 32)
        random.withUnsafeMutableBytes { fillRandom($0) }
        retrySecret = random
        var made: gnutls_priority_t?
        let result = gnutls_priority_init(&made, TLSContext.algorithms, nil)
        guard result == 0, let made else { throw .library(call: "gnutls_priority_init", reason: tlsError(result)) }
        priority = made
    }

    deinit { gnutls_priority_deinit(priority) }

    private static func secret(from material: [UInt8]) -> [UInt8] {
        let label = Array("patina stateless reset".utf8)
        var digest = [UInt8](repeating: 0, count: 32)
        let result = gnutls_hmac_fast(GNUTLS_MAC_SHA256, label, label.count, material, material.count, &digest)
        precondition(result == 0, "GnuTLS cannot compute HMAC-SHA256")
        return digest
    }
}

/// The TLS half of one connection. Must outlive the `ngtcp2_conn` that it is attached to.
final class TLSSession {
    let handle: gnutls_session_t
    private let reference: UnsafeMutablePointer<ngtcp2_crypto_conn_ref>
    /// GnuTLS keeps the pointer, not the text.
    private let host: UnsafeMutablePointer<CChar>?

    /// - Parameters:
    ///   - server: the IP address that the server's certificate must name; nil in the server's role.
    ///   - target: what the library finds the connection by; must outlive this session.
    init(_ context: TLSContext, dialling server: String?, target: CallbackTarget) throws(QUICError) {
        let role = server == nil ? UInt32(GNUTLS_SERVER as Int32) : UInt32(GNUTLS_CLIENT as Int32)
        var made: gnutls_session_t?
        let result = gnutls_init(&made, role | GNUTLS_NO_AUTO_SEND_TICKET.rawValue)
        guard result == 0, let made else { throw .library(call: "gnutls_init", reason: tlsError(result)) }
        handle = made
        reference = .allocate(capacity: 1)
        reference.initialize(
            to: ngtcp2_crypto_conn_ref(
                get_conn: { reference in
                    guard let data = reference?.pointee.user_data else { return nil }
                    return Unmanaged<CallbackTarget>.fromOpaque(data).takeUnretainedValue().handle
                },
                user_data: Unmanaged.passUnretained(target).toOpaque()))
        host = server.map { strdup($0) } ?? nil
        try configure(context)
    }

    deinit {
        gnutls_deinit(handle)
        reference.deallocate()
        free(host)
    }

    private func configure(_ context: TLSContext) throws(QUICError) {
        let isServer = host == nil
        let credentials = isServer ? context.serverCredentials : context.clientCredentials
        try check("gnutls_priority_set", gnutls_priority_set(handle, context.priority))
        try check(
            "gnutls_credentials_set",
            gnutls_credentials_set(handle, GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(credentials.handle)))
        try check(
            "ngtcp2_crypto_gnutls_configure_session",
            isServer
                ? ngtcp2_crypto_gnutls_configure_server_session(handle) : ngtcp2_crypto_gnutls_configure_client_session(handle))
        var name = Array("patina/1".utf8)
        let count = UInt32(name.count)
        let result = name.withUnsafeMutableBufferPointer { name in
            var protocols = gnutls_datum_t(data: name.baseAddress, size: count)
            return gnutls_alpn_set_protocols(handle, &protocols, 1, GNUTLS_ALPN_MANDATORY.rawValue)
        }
        try check("gnutls_alpn_set_protocols", result)
        if isServer {
            if context.verifiesClients {
                gnutls_certificate_server_set_request(handle, GNUTLS_CERT_REQUIRE)
                // Without the list of authorities a client presents what it has, and the log can say what was wrong with it.
                gnutls_certificate_send_x509_rdn_sequence(handle, 1)
                gnutls_session_set_verify_cert(handle, nil, 0)
            }
        } else if context.verifiesServers {
            gnutls_session_set_verify_cert(handle, host, 0)
        }
        gnutls_session_set_ptr(handle, reference)
    }

    /// Why the peer's certificate was refused, in words; nil when it was not.
    var verdict: String? {
        let status = gnutls_session_get_verify_cert_status(handle)
        // All ones: no verification took place.
        guard status != 0, status != .max else { return nil }
        var text = gnutls_datum_t()
        guard gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) == 0, let data = text.data else {
            return "verification status \(status)"
        }
        defer { free(data) }
        let words = String(decoding: UnsafeBufferPointer(start: data, count: Int(text.size)), as: UTF8.self)
        return String(words.reversed().drop { $0 == " " || $0 == "\0" }.reversed())
    }

    private func check(_ call: String, _ result: CInt) throws(QUICError) {
        guard result >= 0 else { throw .library(call: call, reason: tlsError(result)) }
    }
}

/// GnuTLS's words for a TLS alert.
func tlsAlert(_ alert: UInt8) -> String {
    gnutls_alert_get_name(gnutls_alert_description_t(rawValue: UInt32(alert))).map { String(cString: $0) } ?? "alert \(alert)"
}
