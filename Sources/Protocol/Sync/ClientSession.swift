/// A session that this node opened, to fetch what it lacks.
struct ClientSession: Sendable {
    enum State: Sendable {
        /// We greeted; the server has not answered.
        case greeting
        /// The server tells what it knows.
        case learning(PeerState, bytes: Int)
        /// A request is out: what it asks, and what is left to ask after it.
        case requesting([ReadRequest.Want], SyncNeeds)
        /// The store has to catch up before the next request.
        case holding(SyncNeeds)
        /// We finished our side and wait for the server to finish its own.
        case finishing
    }

    let id: SessionID
    let server: MemberRecord
    let openedAt: Instant
    /// When something last arrived.
    var heardAt: Instant
    var decoder: FrameDecoder
    var state: State = .greeting
    /// No request before this.
    var notBefore = Instant.zero
    var hasAsked = false
    /// What it brought.
    var chunks = 0
    var bytes = 0
    /// What arrived since the last request went out; a request without any of it must not be repeated.
    var answers = 0
    var answeredBytes = 0
    /// What the last request asked, once its answer is over and before the queue has been told of all of it.
    var landed: [ReadRequest.Want] = []

    /// What is on its way to us.
    var asked: [ReadRequest.Want] {
        switch state {
        case .requesting(let asked, _): asked
        case .greeting, .learning, .holding, .finishing: []
        }
    }

    /// True while the session could still bring something.
    var isActive: Bool {
        switch state {
        case .greeting, .learning, .requesting, .holding: true
        case .finishing: false
        }
    }
}

/// A session that a peer opened with this node.
struct ServedSession: Sendable {
    enum State: Sendable {
        /// The client has not greeted.
        case opened
        /// Nothing is asked.
        case idle
        /// The store reads; what is listed did not fit the bound of a request.
        case reading(overflow: [ReadRequest.Want])
    }

    let id: SessionID
    let client: Address
    var heardAt: Instant
    var decoder: FrameDecoder
    var state: State = .opened
}
