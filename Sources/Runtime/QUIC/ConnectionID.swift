import CGnuTLS
import CNgtcp2

/// A QUIC connection ID of at most twenty bytes, as a key of the routing table.
struct ConnectionID: Hashable, Comparable {
    /// The length of every connection ID that this endpoint gives out. One constant, because a short header does not carry it.
    static let length = 16

    private let first: UInt64
    private let second: UInt64
    private let third: UInt32
    let count: UInt8

    /// Nil when `bytes` is longer than QUIC version 1 allows.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= 20 else { return nil }
        var padded: (UInt64, UInt64, UInt32) = (0, 0, 0)
        withUnsafeMutableBytes(of: &padded) { $0.copyMemory(from: bytes) }
        first = padded.0
        second = padded.1
        third = padded.2
        count = UInt8(bytes.count)
    }

    init(_ cid: ngtcp2_cid) {
        let made = withUnsafeBytes(of: cid.data) { ConnectionID(UnsafeRawBufferPointer(rebasing: $0[..<min(cid.datalen, 20)])) }
        guard let made else { preconditionFailure("a slice of at most twenty bytes is a connection ID") }
        self = made
    }

    /// `count` unpredictable bytes.
    static func random(count: Int = length) -> ConnectionID {
        ConnectionID(randomCID(count: count))
    }

    /// The same ID as the library wants it.
    var cid: ngtcp2_cid {
        var words = (first, second, third)
        return withUnsafeBytes(of: &words) { words in
            var cid = ngtcp2_cid()
            ngtcp2_cid_init(&cid, words.baseAddress?.assumingMemoryBound(to: UInt8.self), Int(count))
            return cid
        }
    }

    /// Any total order will do: it only has to be the same at both ends.
    static func < (left: ConnectionID, right: ConnectionID) -> Bool {
        (left.first.bigEndian, left.second.bigEndian, left.third.bigEndian, left.count)
            < (right.first.bigEndian, right.second.bigEndian, right.third.bigEndian, right.count)
    }
}

/// A connection ID of `count` unpredictable bytes.
func randomCID(count: Int) -> ngtcp2_cid {
    var cid = ngtcp2_cid()
    cid.datalen = min(count, 20)
    let wanted = cid.datalen
    withUnsafeMutableBytes(of: &cid.data) { fillRandom(UnsafeMutableRawBufferPointer(rebasing: $0[..<wanted])) }
    return cid
}

/// Fills `bytes` from the TLS library's generator. Without randomness there is no security to speak of, so a failure traps.
func fillRandom(_ bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
    precondition(gnutls_rnd(GNUTLS_RND_NONCE, base, bytes.count) == 0, "the random generator of GnuTLS failed")
}
