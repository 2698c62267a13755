import PatinaProtocol

/// The reliable connection between two machines: what QUIC's is between two processes, as far as its users can tell.
struct Connection {
    /// The two machines; `left` has the smaller number.
    let left: Int
    let right: Int
    /// Counts the losses; what belongs to an earlier epoch is gone.
    var epoch: UInt64 = 0
    var isEstablished = false
    /// The processes that the connection is between, once it is established.
    var lives = (left: 0, right: 0)
    /// When the handshake is over.
    var readyAt = Instant.zero
    /// Handshakes in a row that were refused, and when the next attempt may be, of the left and of the right end.
    var refusals = (left: Refusals(), right: Refusals())
    /// Since when nothing has got through; nil while things do.
    var blockedSince: Instant?
    /// Places in the session table, in the order in which they were opened.
    var sessions: [Int] = []

    func life(of host: Int) -> Int { host == left ? lives.left : lives.right }

    struct Refusals {
        var count = 0
        var notBefore = Instant.zero
    }

    /// What the end at `host` remembers of refusals.
    subscript(refusalsAt host: Int) -> Refusals {
        get { host == left ? refusals.left : refusals.right }
        set { if host == left { refusals.left = newValue } else { refusals.right = newValue } }
    }
}

/// A session between two processes. The end that opened it is number 0; direction 0 is what that end sends.
struct Session {
    /// Never used again, so that a late arrival does not meet another session in the same place.
    let serial: UInt64
    let connection: Int
    let epoch: UInt64
    var ends: [End]
    /// Draws where bytes are cut.
    var random: Random

    struct End {
        let host: Int
        /// 0 for the accepting end until the opening has arrived.
        var life: Int
        var id: SessionID?
        /// The process has lost, reset or finished the session, or is gone.
        var isClosed = false
        /// What this end sends and could not send yet.
        var outbox: [SessionItem] = []
        /// A retry of the outbox is in the heap.
        var isRetrying = false
        /// When the last thing that this end sent arrives: nothing overtakes it.
        var lastArrival = Instant.zero
        var finishArrived = false
    }
}

/// All sessions of a run; places are used again.
struct SessionTable {
    private var entries: [Session?] = []
    private var free: [Int] = []
    private(set) var lastSerial: UInt64 = 0

    mutating func insert(_ make: (UInt64) -> Session) -> Int {
        lastSerial += 1
        let session = make(lastSerial)
        if let place = free.popLast() {
            entries[place] = session
            return place
        }
        entries.append(session)
        return entries.count - 1
    }

    mutating func remove(_ place: Int) {
        precondition(entries[place] != nil, "a session is removed twice")
        entries[place] = nil
        free.append(place)
    }

    /// True while the session that had this serial is still there.
    func holds(_ place: Int, serial: UInt64) -> Bool { entries[place]?.serial == serial }

    subscript(place: Int) -> Session {
        get {
            guard let session = entries[place] else { preconditionFailure("there is no session at place \(place)") }
            return session
        }
        _modify {
            guard entries[place] != nil else { preconditionFailure("there is no session at place \(place)") }
            yield &entries[place]!
        }
    }
}
