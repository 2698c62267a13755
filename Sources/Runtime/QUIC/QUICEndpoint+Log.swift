import CNgtcp2
import NIOCore
import PatinaProtocol

/// Why connections ended, in words.
extension QUICEndpoint {
    /// Logs the end of a connection. A refusal, by either side, is a warning that names the address and the reason.
    func describe(_ reason: ConnectionEnd, of connection: QUICConnection) {
        let remote = connection.remote
        let isHandshake = connection.phase == .handshaking
        switch reason {
        case .failed(let code) where isHandshake && code == NGTCP2_ERR_CRYPTO:
            let alert = tlsAlert(ngtcp2_conn_get_tls_alert(connection.handle))
            let why = connection.tls.verdict.map { "\($0) (TLS alert: \(alert))" } ?? "TLS alert: \(alert)"
            warn(connection.role == .client ? "refused the server at \(remote): \(why)" : "refused the client at \(remote): \(why)")
        case .failed(let code):
            warn("the connection with \(remote) failed: \(libraryError(code))")
        case .closedByPeer:
            var error = ngtcp2_connection_close_error()
            ngtcp2_conn_get_connection_close_error(connection.handle, &error)
            let words = closeWords(error)
            if isHandshake, connection.role == .client {
                warn("\(remote) refused the connection: \(words)")
            } else {
                logger.info("QUIC: \(remote) closed the connection: \(words)")
            }
        case .reset:
            counters.resetsReceived += 1
            logger.info("QUIC: \(remote) has forgotten the connection (stateless reset)")
        case .idle:
            if connection === connection.peer?.active {
                logger.info("QUIC: lost \(remote): nothing came for \(configuration.idleTimeout)")
            }
        case .unanswered:
            // Of a member that is down this is told again and again.
            logger.debug("QUIC: no handshake with \(remote) within \(configuration.connectTimeout)")
        case .dropped:
            logger.debug("QUIC: dropped a connection with \(remote)")
        case .closed(_, let words):
            logger.debug("QUIC: closed a connection with \(remote): \(words)")
        }
    }

    private func closeWords(_ error: ngtcp2_connection_close_error) -> String {
        var words: String
        switch error.type {
        case NGTCP2_CONNECTION_CLOSE_ERROR_CODE_TYPE_APPLICATION: words = "application code \(error.error_code)"
        default:
            words =
                0x100...0x1FF ~= error.error_code
                ? "TLS alert: \(tlsAlert(UInt8(error.error_code - 0x100)))" : "transport error 0x\(String(error.error_code, radix: 16))"
        }
        if let reason = error.reason, error.reasonlen > 0 {
            // The peer chose these bytes: nothing but printable ASCII goes into the log.
            let printable = UnsafeBufferPointer(start: reason, count: min(error.reasonlen, 200)).map { 32...126 ~= $0 ? $0 : 63 }
            words += ", \"\(String(decoding: printable, as: UTF8.self))\""
        }
        return words
    }
}
