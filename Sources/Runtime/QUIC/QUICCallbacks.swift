import CNgtcp2
import Glibc

/// What the library's callbacks find their connection by. Never moves, and outlives the library's object.
final class CallbackTarget {
    /// The library's object, once it exists.
    var handle: OpaquePointer?
    unowned(unsafe) var connection: QUICConnection?

    var opaque: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }
}

/// The connection behind a callback's user data.
private func connection(_ data: UnsafeMutableRawPointer?) -> QUICConnection {
    guard let data, let connection = Unmanaged<CallbackTarget>.fromOpaque(data).takeUnretainedValue().connection else {
        preconditionFailure("the QUIC library called back before its connection was made or after it was freed")
    }
    return connection
}

extension QUICConnection {
    /// The callbacks of both roles. None of them may read, write or close: they note what happened, and the endpoint acts on
    /// it when the library has returned.
    static let callbacks: ngtcp2_callbacks = {
        var table = ngtcp2_callbacks()
        table.client_initial = ngtcp2_crypto_client_initial_cb
        table.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb
        table.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb
        table.encrypt = ngtcp2_crypto_encrypt_cb
        table.decrypt = ngtcp2_crypto_decrypt_cb
        table.hp_mask = ngtcp2_crypto_hp_mask_cb
        table.recv_retry = ngtcp2_crypto_recv_retry_cb
        table.update_key = ngtcp2_crypto_update_key_cb
        table.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb
        table.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb
        table.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb
        table.version_negotiation = ngtcp2_crypto_version_negotiation_cb
        table.rand = { destination, count, _ in fillRandom(UnsafeMutableRawBufferPointer(start: destination, count: count)) }
        setLifeCallbacks(&table)
        setStreamCallbacks(&table)
        return table
    }()

    private static func setLifeCallbacks(_ table: inout ngtcp2_callbacks) {
        table.get_new_connection_id = { _, id, token, count, data in
            guard let id, let token else { return NGTCP2_ERR_CALLBACK_FAILURE }
            return connection(data).giveOutConnectionID(id, token: token, count: count)
        }
        table.remove_connection_id = { _, id, data in
            if let id { connection(data).withdrawConnectionID(ConnectionID(id.pointee)) }
            return 0
        }
        table.handshake_completed = { _, data in
            connection(data).handshakeCompleted()
            return 0
        }
        table.handshake_confirmed = { _, data in
            connection(data).handshakeConfirmed()
            return 0
        }
        table.recv_stateless_reset = { _, _, data in
            connection(data).wasReset = true
            return 0
        }
    }

    private static func setStreamCallbacks(_ table: inout ngtcp2_callbacks) {
        table.recv_stream_data = { _, flags, id, _, bytes, count, data, _ in
            connection(data).streamReceived(
                id, UnsafeBufferPointer(start: bytes, count: count),
                isLast: flags & UInt32(NGTCP2_STREAM_DATA_FLAG_FIN) != 0)
            return 0
        }
        table.acked_stream_data_offset = { _, id, offset, count, data, _ in
            connection(data).streamAcknowledged(id, to: offset + count)
            return 0
        }
        table.stream_reset = { _, id, _, _, data, _ in
            connection(data).streamReset(id)
            return 0
        }
        table.stream_close = { _, flags, id, _, data, _ in
            connection(data).streamClosed(id, cleanly: flags & UInt32(NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET) == 0)
            return 0
        }
        table.recv_datagram = { _, _, bytes, count, data in
            connection(data).datagramReceived(UnsafeBufferPointer(start: bytes, count: count))
            return 0
        }
    }
}
