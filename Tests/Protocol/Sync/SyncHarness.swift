@testable import PatinaProtocol

/// One sync machine with a context of the test's making, and what it wanted.
final class SyncHarness {
    var sync: Sync
    var context: NodeContext
    var now = Instant.zero
    var outputs: [Sync.Output] = []

    /// Member 0 of `members`.
    init(members: Int = 4, ledger: VersionLedger = VersionLedger(), configure: (inout NodeConfiguration) -> Void = { _ in }) {
        var configuration = Sample.configuration(0)
        configuration.sync.graceTime = .zero
        configure(&configuration)
        context = Sample.context(members, ledger: ledger, intake: Intake(limits: configuration.limits))
        sync = Sync(configuration: configuration, fingerprint: ledger.fingerprint, random: Random(seed: 1))
        handle(.started)
    }

    /// Handles an event and forgets what was wanted before.
    func handle(_ event: Sync.Event) {
        outputs = []
        sync.handle(event, now: now, context: context, into: &outputs)
        sync.checkInvariants()
    }

    func advance(_ duration: Duration) { now = now + duration }

    /// Lets rounds pass until a session is opened, and returns it.
    func openSession(within limit: Duration = .seconds(40)) -> SessionID? {
        let end = now + limit
        while now <= end {
            handle(.deadlinePassed(.period))
            if let id = opened.last?.id { return id }
            now = now + .milliseconds(100)
        }
        return nil
    }

    /// Hears of a peer's digest and opens a session with it.
    func openSession(with peer: Int, digest: Fingerprint) -> SessionID? {
        handle(.digestHeard(digest, from: Sample.actor(peer)))
        return openSession()
    }

    /// Bytes of a peer: an envelope when they are its first, then frames.
    static func bytes(_ frames: [SyncFrame], isFirst: Bool) -> [UInt8] {
        var writer = isFirst ? Envelope(cluster: 7, kind: .sync).writer() : ByteWriter()
        for frame in frames { frame.write(to: &writer) }
        return writer.bytes
    }

    func receive(_ id: SessionID, _ frames: SyncFrame..., isFirst: Bool = false) {
        handle(.sessionReceived(id, bytes: Self.bytes(frames, isFirst: isFirst)))
    }

    /// As the node does at the end of every event.
    func askOn() {
        sync.handle(.intakeChanged, now: now, context: context, into: &outputs)
        sync.checkInvariants()
    }

    // MARK: What was wanted

    var opened: [(id: SessionID, to: Address)] {
        outputs.compactMap { if case .openSession(let id, let address) = $0 { (id, address) } else { nil } }
    }

    /// The frames that were written, first envelopes aside.
    func written(isFirst: Bool) throws -> [SyncFrame] {
        var decoder = FrameDecoder(cluster: 7, limit: 1 << 24)
        if !isFirst { decoder.append(Envelope(cluster: 7, kind: .sync).writer().bytes) }
        for case .write(_, let bytes) in outputs { decoder.append(bytes) }
        var frames: [SyncFrame] = []
        while let frame = try decoder.next() {
            guard let content = try SyncFrame.read(from: frame) else { throw MalformedInput("an unknown frame was written") }
            frames.append(content)
        }
        return frames
    }

    /// The ranges of the one request that was written.
    var requested: [ReadRequest.Want]? {
        get throws {
            let requests = try written(isFirst: false).compactMap { if case .request(let request) = $0 { request.wants } else { nil } }
            return requests.count == 1 ? requests[0] : nil
        }
    }

    var arrived: [Chunk] { outputs.compactMap { if case .arrived(let chunk) = $0 { chunk } else { nil } } }
    var empties: [EmptyVersions] { outputs.compactMap { if case .empty(let empties) = $0 { empties } else { nil } } }
    var reads: [ReadRequest] { outputs.compactMap { if case .read(let request, _) = $0 { request } else { nil } } }
    var finished: [SessionID] { outputs.compactMap { if case .finish(let id) = $0 { id } else { nil } } }
    var resets: [SessionID] { outputs.compactMap { if case .reset(let id) = $0 { id } else { nil } } }
    var measured: [Measurement] { outputs.compactMap { if case .measure(let measurement) = $0 { measurement } else { nil } } }
    var notices: [Notice] { outputs.compactMap { if case .notify(let notice) = $0 { notice } else { nil } } }
    var scheduled: [(timer: Sync.Timer, at: Instant)] {
        outputs.compactMap { if case .schedule(let timer, let instant) = $0 { (timer, instant) } else { nil } }
    }
}
