/// The places in the code at which chaos can make something happen that is legal and unlucky: what a peer, the network or the store could
/// bring about at any time, and seldom does.
///
/// After the BUGGIFY sites of FoundationDB (Zhou et al., 2021). A new point is a case with a name and a summary here, and one call of
/// `Chaos.point` in the code.
package enum ChaosPoint: UInt8, Hashable, Sendable, CaseIterable {
    // SWIM.
    case probeSkipped, probeImpatient, answerWithheld, helperBusy, newsHeldBack, gossipLate, exchangeSkipped, listSplit, suspicionLate
    // Broadcast.
    case pushSkipped, messageSplit, announcementLate, cacheShort, missingFull, graftUnanswered
    // The queue before the store, and how the store is driven.
    case intakeFull, batchOfOne, batchLate
    // The version ledger.
    case digestLate, needsForgotten
    // Sync.
    case roundSkipped, serverBusy, sessionAbandoned, requestSmall, answerCut, stateSplit
    // The store.
    case chunksSmall, foldedEarly

    /// What scenarios and reports call it: the part of the code, and what happens there.
    package var name: String {
        switch self {
        case .probeSkipped: "swim.probe-skipped"
        case .probeImpatient: "swim.probe-impatient"
        case .answerWithheld: "swim.answer-withheld"
        case .helperBusy: "swim.helper-busy"
        case .newsHeldBack: "swim.news-held-back"
        case .gossipLate: "swim.gossip-late"
        case .exchangeSkipped: "swim.exchange-skipped"
        case .listSplit: "swim.list-split"
        case .suspicionLate: "swim.suspicion-late"
        case .pushSkipped: "broadcast.push-skipped"
        case .messageSplit: "broadcast.message-split"
        case .announcementLate: "broadcast.announcement-late"
        case .cacheShort: "broadcast.cache-short"
        case .missingFull: "broadcast.missing-full"
        case .graftUnanswered: "broadcast.graft-unanswered"
        case .intakeFull: "driver.queue-full"
        case .batchOfOne: "driver.batch-of-one"
        case .batchLate: "driver.batch-late"
        case .digestLate: "ledger.digest-late"
        case .needsForgotten: "ledger.needs-forgotten"
        case .roundSkipped: "sync.round-skipped"
        case .serverBusy: "sync.server-busy"
        case .sessionAbandoned: "sync.session-abandoned"
        case .requestSmall: "sync.request-small"
        case .answerCut: "sync.answer-cut"
        case .stateSplit: "sync.state-split"
        case .chunksSmall: "store.chunks-small"
        case .foldedEarly: "store.folded-early"
        }
    }

    /// What happens there.
    package var summary: String {
        switch self {
        case .probeSkipped: "a period passes without a probe"
        case .probeImpatient: "a probe waits a millisecond for the direct answer before it asks others and tries the reliable way"
        case .answerWithheld: "a ping is not answered, as if the answer were lost"
        case .helperBusy: "a member that is asked to probe another one says at once that it has no answer"
        case .newsHeldBack: "a packet takes no pending news along"
        case .gossipLate: "a round of gossip comes a period later"
        case .exchangeSkipped: "the member list is not compared when it is time to"
        case .listSplit: "a member list is sent in pieces of a kilobyte"
        case .suspicionLate: "a suspicion lasts half a second longer than it has to"
        case .pushSkipped: "one of those that a chunk is pushed to is left out"
        case .messageSplit: "each chunk is sent in a message of its own"
        case .announcementLate: "announcements come an interval later"
        case .cacheShort: "the cache for grafts has no room and lets its oldest chunk go"
        case .missingFull: "the list of missing chunks is full: what is announced is left to sync"
        case .graftUnanswered: "a graft is not answered, as if the chunks had left the cache"
        case .intakeFull: "the queue before the store is full, and a chunk is dropped"
        case .batchOfOne: "the store is given one chunk only"
        case .batchLate: "the store is given nothing until the node's next event"
        case .digestLate: "peers and sync are told of the ledger's new digest an event later"
        case .needsForgotten: "of what a session could bring, only what one actor wrote is asked for"
        case .roundSkipped: "a round of sync passes without a session"
        case .serverBusy: "a session is refused, as if too many were served"
        case .sessionAbandoned: "a client drops its session in the middle"
        case .requestSmall: "a request asks for one range of versions"
        case .answerCut: "an answer ends after one chunk, and the rest has to be asked for again"
        case .stateSplit: "a server's state is sent in frames of 64 bytes"
        case .chunksSmall: "a transaction is cut into chunks a sixteenth as large"
        case .foldedEarly: "the clocks that wait in memory are written to their tables at once"
        }
    }

    package init?(name: String) {
        guard let point = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = point
    }

    var bit: UInt64 { 1 << UInt64(rawValue) }
}

/// Which points are on, and how often one that is on strikes. Nothing is on unless the simulator asks: this is `package`, so that no
/// configuration file and no user of the library can.
package struct ChaosConfiguration: Hashable, Sendable {
    /// One bit for each point.
    package private(set) var points: UInt64 = 0
    /// Chance of each point that is on, each time that the code comes by, in millionths.
    package var fire: UInt32 = 0

    package init() {}

    package init(points: [ChaosPoint], fire: UInt32) {
        self.points = points.reduce(0) { $0 | $1.bit }
        self.fire = fire
    }

    /// From a log. Points that this build does not have are none.
    init(bits: UInt64, fire: UInt32) {
        points = ChaosPoint.allCases.reduce(0) { $0 | bits & $1.bit }
        self.fire = fire
    }

    package var isOn: Bool { points != 0 && fire > 0 }
}
