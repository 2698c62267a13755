import PatinaProtocol

/// An entry of the event heap: what happens next, and to whom.
///
/// Entries that concern a process carry its `life`: what was meant for a process that has ended is dropped.
enum Happening {
    /// A machine starts its process for the first time.
    case hostStarts(Int)
    case timer(host: Int, life: Int, Timer)
    case datagram(from: Int, to: Int, bytes: [UInt8])
    case message(Message)
    /// A message that could not leave is tried again.
    case messageRetry(Message)
    case sessionItem(SessionArrival)
    /// What could not leave on a session is tried again.
    case sessionRetry(session: Int, serial: UInt64, direction: Int, attempt: Int)
    /// The transport tells a process that something ended: `sessionLost` or `peerLost`.
    case transportEvent(host: Int, life: Int, Event)
    /// A connection whose other end is gone has been silent for too long.
    case connectionExpires(connection: Int, epoch: UInt64)
    case storeFinishes(host: Int, life: Int, StoreOperation, StoreToken)
    /// A step of what the store does by itself.
    case storeUpkeep(host: Int, life: Int)
    case transactionArrives(source: Int)
    case transactionFinishes(life: Int, PlannedTransaction)
    case faultStarts(occurrence: Int)
    case faultEnds(occurrence: Int)
    /// A check begins, or a pending check is looked at again.
    case checkBegins(Int)
    case poll
    /// The regular look at what must always hold.
    case look
    /// A machine that stood still, or was busy, takes the next thing out of its inbox.
    case hostResumes(Int)
    /// The recorder asks the nodes what they see.
    case sample

    /// A reliable message on its way.
    struct Message {
        let from: Int
        let fromLife: Int
        let to: Int
        let connection: Int
        let epoch: UInt64
        let bytes: [UInt8]
        var attempt = 0
        /// The receiving process; 0 until the message leaves.
        var toLife = 0
    }

    /// Something that arrives on a session, in order.
    struct SessionArrival {
        let session: Int
        let serial: UInt64
        let direction: Int
        let toLife: Int
        let item: SessionItem
    }
}

/// What travels on a session.
enum SessionItem {
    case open
    case bytes([UInt8])
    case finish
    case reset

    /// Bytes that it takes on the wire, with a frame's overhead.
    var wireBytes: Int {
        switch self {
        case .open, .finish, .reset: 40
        case .bytes(let bytes): bytes.count + 40
        }
    }
}
