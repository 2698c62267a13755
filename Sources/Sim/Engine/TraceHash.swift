import PatinaProtocol

/// The running digest of everything that happened in a run: two runs with equal digests did the same things in the same order.
///
/// Times, machines, kinds and all bytes that were delivered go in. What only observes (checks, looks) does not, so a check that is
/// added to a scenario leaves the digest as it was. Timers contribute when and where, not what they were for: what they cause does.
struct TraceHash {
    enum Kind: UInt64 {
        case started = 1
        case timer, datagram, message, sessionOpened, sessionBytes, sessionFinished, sessionLost, peerLost, stored, transaction
        case crashed, faultStarted, faultEnded, refused, upkeep
    }

    private var hasher = Fingerprint.Hasher(seed: 0x7061_7469_6E61)

    mutating func record(_ kind: Kind, host: Int, at time: Instant) {
        hasher.combine(UInt64(bitPattern: time.nanoseconds))
        hasher.combine(UInt64(host) << 8 | kind.rawValue)
    }

    mutating func record(_ kind: Kind, host: Int, at time: Instant, bytes: [UInt8]) {
        record(kind, host: host, at: time)
        hasher.combine(bytes)
    }

    mutating func record(number: UInt64) { hasher.combine(number) }

    mutating func record(bytes: [UInt8]) { hasher.combine(bytes) }

    var digest: Fingerprint { hasher.finish() }
}
