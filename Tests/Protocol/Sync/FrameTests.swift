// Goal: frames survive any cut, every frame reads back as it was written, and no bytes trap a reader.

import Testing

@testable import PatinaProtocol

@Suite struct FrameDecoderTests {
    private let envelope = Envelope(cluster: 7, kind: .sync)

    private func decoder(limit: Int = 1_000) -> FrameDecoder { FrameDecoder(cluster: 7, limit: limit) }

    private func frames(_ decoder: inout FrameDecoder) throws -> [[UInt8]] {
        var result: [[UInt8]] = []
        while let frame = try decoder.next() { result.append(Array(frame.rest)) }
        return result
    }

    @Test("frames: cut anywhere, they come out whole and in order (seed)", arguments: [1, 2, 3, 4] as [UInt64])
    func cutAnywhere(seed: UInt64) throws {
        var random = Random(seed: seed)
        let bodies = (0..<60).map { _ in (0..<(1 + random.below(400))).map { _ in UInt8(truncatingIfNeeded: random.next()) } }
        var writer = envelope.writer()
        for body in bodies { writer.writeBytes(body) }
        var decoder = decoder()
        var rest = writer.bytes[...]
        var decoded: [[UInt8]] = []
        while !rest.isEmpty {
            let piece = rest.prefix(1 + random.below(150))
            rest = rest.dropFirst(piece.count)
            decoder.append(Array(piece))
            decoded += try frames(&decoder)
        }
        #expect(decoded == bodies)
        #expect(decoder.buffered == 0)
    }

    @Test("frames: one byte at a time")
    func byteByByte() throws {
        var writer = envelope.writer()
        writer.writeBytes(Array(repeating: UInt8(9), count: 300))
        var decoder = decoder()
        for (index, byte) in writer.bytes.enumerated() {
            decoder.append([byte])
            #expect(try frames(&decoder).count == (index == writer.count - 1 ? 1 : 0))
        }
    }

    @Test(
        "frames: what cannot be a session of ours is refused",
        arguments: [
            [2, 7, 0, 3], [1, 8, 0, 3], [1, 7, 0, 2], [1, 7, 0, 3, 0], [1, 7, 0, 3, 0xE9, 0x07],
            [1, 7, 0, 3, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
            [1, 7, 0, 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
        ] as [[UInt8]])
    func refused(bytes: [UInt8]) {
        #expect(throws: MalformedInput.self) {
            var decoder = decoder()
            decoder.append(bytes)
            _ = try decoder.next()
        }
    }

    @Test("frames: the longest allowed one passes, and a longer one is refused before its bytes are there")
    func bound() throws {
        var decoder = decoder()
        var writer = envelope.writer()
        writer.writeBytes(Array(repeating: UInt8(1), count: 1_000))
        decoder.append(writer.bytes)
        #expect(try frames(&decoder).count == 1)
        decoder.append([0xE9, 0x07])
        #expect(throws: MalformedInput.self) { try decoder.next() }
    }
}

@Suite struct SyncFrameTests {
    /// One of each kind, with everything in it that a kind can hold.
    static let samples: [SyncFrame] = {
        var holes = IntervalSet(0...3)
        holes.insert(9...9)
        holes.insert(40...(1 << 40))
        let state = PeerState(actors: [
            ActorState(actor: Sample.actor(1), head: 7),
            ActorState(
                actor: Sample.actor(2), head: 900, gaps: IntervalSet(2...20),
                partials: [PartialState(version: 30, lastSequence: 1 << 41, missing: holes)]),
            ActorState(actor: Sample.actor(3), head: .max, gaps: IntervalSet(1...(.max - 1))),
        ])
        let wants: [ReadRequest.Want] = [
            .versions(Sample.actor(1), 1...(.max)), .versions(Sample.actor(2), 5...5), .sequences(Sample.actor(3), version: 8, holes),
        ]
        let fingerprint = Fingerprint(high: 1, low: 2)
        return [
            .greeting(.init(actor: Sample.actor(4), fingerprint: fingerprint, buckets: [1, 2, 3, .max])),
            .equal,
            .refusal(.init(reason: .busy, retryAfter: .milliseconds(1_500))),
            .state(.init(fingerprint: fingerprint, isLast: true, state: state)),
            .request(ReadRequest(wants: wants, byteLimit: 70_000)),
            .chunk(Sample.chunk(1, 3, body: Array(0...99))),
            .empties([
                EmptyVersions(actor: Sample.actor(1), versions: 3...900), EmptyVersions(actor: Sample.actor(2), versions: 1...(.max)),
            ]),
            .end(remaining: wants),
            .end(remaining: []),
        ]
    }()

    static func body(_ frame: SyncFrame) throws -> [UInt8] {
        var writer = ByteWriter()
        frame.write(to: &writer)
        var reader = ByteReader(writer.bytes)
        return Array(try reader.readBytes())
    }

    @Test("sync frames: each kind reads back as it was written")
    func roundTrip() throws {
        for frame in Self.samples {
            let bytes = try Self.body(frame)
            let read = try #require(try SyncFrame.read(from: ByteReader(bytes)))
            #expect("\(read)" == "\(frame)")
            #expect(try Self.body(read) == bytes)
        }
    }

    @Test("sync frames: versions that are there in full and wait to be merged take three bytes each")
    func heldVersions() throws {
        let partials = (1...20).map { PartialState(version: $0, lastSequence: 1, missing: IntervalSet()) }
        let state = PeerState(actors: [ActorState(actor: Sample.actor(1), head: 20, partials: partials)])
        let frame = SyncFrame.state(.init(fingerprint: Fingerprint(high: 1, low: 2), isLast: true, state: state))
        let read = try #require(try SyncFrame.read(from: ByteReader(try Self.body(frame))))
        #expect("\(read)" == "\(frame)")
    }

    @Test("sync frames: a kind of a later build is skipped, and fields behind the known ones are ignored")
    func laterBuilds() throws {
        #expect(try SyncFrame.read(from: ByteReader([99, 1, 2, 3])) == nil)
        for frame in Self.samples {
            let read = try #require(try SyncFrame.read(from: ByteReader(try Self.body(frame) + [1, 2, 3])))
            #expect("\(read)" == "\(frame)")
        }
    }

    @Test("sync frames: every cut is noticed")
    func cuts() throws {
        for frame in Self.samples {
            let bytes = try Self.body(frame)
            for length in 0..<bytes.count {
                #expect(throws: MalformedInput.self) { try SyncFrame.read(from: ByteReader(bytes[..<length])) }
            }
        }
    }

    @Test("sync frames: mutated frames are read or refused, and what is read can be written (seed)", arguments: [1, 2, 3] as [UInt64])
    func fuzz(seed: UInt64) throws {
        var mutator = Mutator(seed: seed)
        let bodies = try Self.samples.map(Self.body)
        for _ in 0..<4_000 {
            let bytes = mutator.mutate(bodies[mutator.below(bodies.count)])
            guard let frame = try? SyncFrame.read(from: ByteReader(bytes)) else { continue }
            let again = try #require(try SyncFrame.read(from: ByteReader(try Self.body(frame))))
            #expect("\(again)" == "\(frame)")
            guard case .state(let state) = frame else { continue }
            var ledger = VersionLedger()
            ledger.apply(.completed(Sample.actor(2), versions: 3...50))
            _ = SyncNeeds(ledger.needs(comparedTo: state.state), blockVersions: 64)
        }
    }

    @Test(
        "sync frames: a state that contradicts itself is refused",
        arguments: [
            // Flags, fingerprint, one actor, and a record: head, gaps, partials.
            [0, 0, 0], [5, 1, 5, 0, 0], [5, 1, 4, 1, 0], [5, 0, 1, 6, 1, 0], [5, 0, 2, 3, 1, 0, 2, 1, 0], [5, 0, 1, 2, 3, 1, 4, 0],
        ] as [[UInt8]])
    func contradictions(record: [UInt8]) {
        var writer = ByteWriter()
        writer.write(SyncFrame.Kind.state.rawValue)
        writer.write(UInt8(1))
        writer.write(Fingerprint.zero)
        writer.writeVarint(1)
        writer.write(Sample.actor(1))
        writer.writeBytes(record)
        #expect(throws: MalformedInput.self) { try SyncFrame.read(from: ByteReader(writer.bytes)) }
    }

    @Test("sync frames: a long state is cut into frames that join to the same state")
    func cutState() throws {
        var state = PeerState()
        for number in 0..<1_000 { state.actors.append(ActorState(actor: Sample.actor(number), head: UInt64(number) + 1)) }
        let frames = SyncFrame.StateFrame.frames(of: state, fingerprint: .zero, bytes: 2_000)
        #expect(frames.count > 10)
        var joined = PeerState()
        for (index, frame) in frames.enumerated() {
            let body = try Self.body(frame)
            #expect(body.count <= 2_100)
            guard case .state(let part)? = try SyncFrame.read(from: ByteReader(body)) else { throw MalformedInput("no state") }
            #expect(part.isLast == (index == frames.count - 1))
            joined.actors += part.state.actors
        }
        #expect(joined == state)
    }
}
