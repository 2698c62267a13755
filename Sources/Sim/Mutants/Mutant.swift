/// A mistake that a simulated cluster is made to have, so that the checkers can show that they find it.
///
/// Nearly all of them sit at the border of a node: in the events that it is given, in the effects that it has, in what its store is
/// asked and answers. A mistake in the code that makes these values looks the same from there, and the agent carries nothing of it:
/// this file belongs to the simulator. The few that need the inside of SWIM are bits of `MembershipConfiguration.mutants`, which is
/// `package`: no configuration file and no user of the library can set them, and they are asked about only where a claim or a
/// suspicion changes.
public enum Mutant: String, Hashable, Sendable, CaseIterable {
    // What is given to the store, and what it answers.
    case seenBeforeApplied = "seen-before-applied"
    case gapForgotten = "gap-forgotten"
    case versionFromNowhere = "version-from-nowhere"
    case tombstoneDropped = "tombstone-dropped"
    case cellDropped = "cell-dropped"
    case arrivalWins = "arrival-wins"
    case causalLengthIgnored = "causal-length-ignored"
    case partialVersionShown = "partial-version-shown"
    case chunkBoundary = "chunk-boundary-off-by-one"
    case servedAsEmpty = "served-as-empty"
    case lastChunkForgotten = "last-chunk-forgotten"
    case answerLost = "store-answer-lost"
    case tieBreakReversed = "tie-break-reversed"
    case bodyFormatUnknown = "body-format-unknown"
    case foreignHand = "foreign-hand"
    case backfillSent = "backfill-sent"
    // Local transactions.
    case acknowledgedWithoutCommit = "ack-without-commit"
    case commitNotTold = "commit-not-told"
    // What a node wants and says.
    case countedTwice = "version-counted-twice"
    case syncNeverOpened = "sync-never-opened"
    case broadcastToNobody = "broadcast-to-nobody"
    case probesUnanswered = "probes-unanswered"
    case stallSpreads = "stall-spreads"
    case retryAtOnce = "retry-at-once"
    // How others are read.
    case laterFieldsRefused = "later-fields-refused"
    case laterKindSpoilsAll = "later-kind-spoils-all"
    case digestIgnored = "digest-ignored"
    // How a node is set up.
    case generationNotRaised = "generation-not-raised"
    case chunkBoundIgnored = "chunk-bound-ignored"
    case byteBoundIgnored = "byte-bound-ignored"
    // Inside of SWIM.
    case suspicionNeverRefuted = "suspicion-never-refuted"
    case incarnationNotRaised = "incarnation-not-raised"
    case suspicionNotWaited = "suspicion-not-waited"
    case staleTimerObeyed = "stale-timer-obeyed"
    case rumourBelieved = "rumour-believed"

    /// What is wrong with it.
    public var summary: String {
        switch self {
        case .seenBeforeApplied: "one in eight batches is reported as applied and never was"
        case .gapForgotten: "a node that learns of a version believes that it has all earlier ones of that actor"
        case .versionFromNowhere: "a node that learns of a version believes that it has the next one, too"
        case .tombstoneDropped: "deletions by others are left out when a version is merged"
        case .cellDropped: "the last cell of a row is left out when a version is merged"
        case .arrivalWins: "what arrives last wins, whatever its column version"
        case .causalLengthIgnored: "a row that was deleted and written again looks as if it never had been deleted"
        case .partialVersionShown: "the first chunk of a transaction is merged as if it were the whole"
        case .chunkBoundary: "the first cell of every further chunk of a transaction is left out"
        case .servedAsEmpty: "a sync server says of what it is asked for that nothing is left of it"
        case .lastChunkForgotten: "the last chunk of a transaction of several is never sent"
        case .answerLost: "one in thirty-two answers of the store never reaches the node"
        case .tieBreakReversed: "of two values with equal column versions the lesser one wins where another's version is merged"
        case .bodyFormatUnknown: "one in sixteen transactions is broadcast in a format that nobody knows"
        case .foreignHand: "once in a while somebody deletes a row with another program, past the guards"
        case .backfillSent: "a node that gets a new column writes something into it in every row"
        case .acknowledgedWithoutCommit: "one in eight transactions is acknowledged and not committed"
        case .commitNotTold: "one in eight commits is not told to the node"
        case .countedTwice: "a version that was applied is reported twice"
        case .syncNeverOpened: "no node ever opens a sync session"
        case .broadcastToNobody: "nothing is broadcast"
        case .probesUnanswered: "one node says nothing about membership, not even that it is there"
        case .stallSpreads: "a node that sends a message to one that stands still waits for it, and sends nothing else meanwhile"
        case .retryAtOnce: "after a handshake that was refused the next one follows without a pause"
        case .digestIgnored: "a node takes no notice of the digests that others send with probes and acknowledgements"
        case .laterFieldsRefused: "what has fields of a later wire version is taken for malformed"
        case .laterKindSpoilsAll: "one record, item or frame of an unknown kind, and nothing of the message or session is read"
        case .generationNotRaised: "a process that is started again uses the generation of the one before"
        case .chunkBoundIgnored: "the queue before the store has no bound on chunks"
        case .byteBoundIgnored: "the queue before the store has no bound on bytes"
        case .suspicionNeverRefuted: "a suspected node says nothing"
        case .incarnationNotRaised: "a suspected node objects with the incarnation that is suspected"
        case .suspicionNotWaited: "a suspect is declared down at once"
        case .staleTimerObeyed: "a suspect that has objected is declared down when the time of the old suspicion is over"
        case .rumourBelieved: "a member of which nobody here suspected anything is declared down because one other says so"
        }
    }
}
