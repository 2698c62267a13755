@testable import PatinaProtocol

/// Values that tests of broadcast, sync and the node have in common.
enum Sample {
    /// Actors ascend with their number.
    static func actor(_ number: Int) -> ActorID { ActorID(high: 0xACAC_0000_0000_0000 | UInt64(number), low: UInt64(number)) }
    static func address(_ number: Int) -> Address { Address(ipv4: 0x0A00_0000 + UInt32(number), port: 4_001) }
    static func record(_ number: Int) -> MemberRecord { MemberRecord(actor: actor(number), address: address(number), generation: 1) }
    static func members(_ count: Int) -> [MemberRecord] { (0..<count).map(record) }
    static func table(_ count: Int) -> MemberTable { MemberTable(members(count)) }

    /// A whole version in one chunk.
    static func chunk(_ number: Int, _ version: UInt64, body: [UInt8] = [1, 2, 3]) -> Chunk {
        Chunk(id: id(number, version), timestamp: HybridTimestamp(ntp64: version << 32), body: body)
    }

    static func id(_ number: Int, _ version: UInt64, _ sequences: ClosedRange<UInt64> = 0...0, of last: UInt64 = 0) -> ChunkID {
        guard let id = ChunkID(actor: actor(number), version: version, sequences: sequences, lastSequence: last) else {
            preconditionFailure("a test names a chunk that cannot be")
        }
        return id
    }

    /// One version in pieces of one sequence number each.
    static func pieces(_ number: Int, _ version: UInt64, count: UInt64, bytes: Int = 10) -> [Chunk] {
        (0..<count).map { sequence in
            Chunk(
                id: id(number, version, sequence...sequence, of: count - 1), timestamp: HybridTimestamp(ntp64: version << 32),
                body: Array(repeating: UInt8(truncatingIfNeeded: sequence), count: bytes))
        }
    }

    static func configuration(_ number: Int, seed: UInt64 = 1) -> NodeConfiguration {
        NodeConfiguration(actor: actor(number), address: address(number), generation: 1, cluster: 7, seed: seed)
    }

    static func context(
        _ count: Int, ledger: VersionLedger = VersionLedger(), intake: Intake = Intake(limits: Limits())
    ) -> NodeContext {
        NodeContext(members: table(count), ledger: ledger, intake: intake)
    }
}

extension Instant {
    /// A point of a test's time.
    static func at(milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
}

/// Bytes as a hostile or broken peer might send them: a valid message with some bytes changed, cut, doubled or inserted.
struct Mutator {
    private var random: Random

    init(seed: UInt64) { random = Random(seed: seed) }

    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        for _ in 0...random.below(4) {
            let position = result.isEmpty ? 0 : random.below(result.count)
            switch random.below(7) {
            case 0: if !result.isEmpty { result[position] = UInt8(truncatingIfNeeded: random.next()) }
            case 1: if !result.isEmpty { result[position] ^= 1 << UInt8(random.below(8)) }
            case 2: result.removeSubrange(position...)
            case 3: result.insert(UInt8(truncatingIfNeeded: random.next()), at: position)
            case 4: if !result.isEmpty { result.remove(at: position) }
            case 5: result.insert(contentsOf: Array(repeating: 0xFF, count: 1 + random.below(10)), at: position)
            default: result.insert(contentsOf: result.suffix(from: position).prefix(1 + random.below(40)), at: position)
            }
        }
        return result
    }

    /// Bytes without any sense, mostly short.
    mutating func noise() -> [UInt8] { (0..<random.below(64)).map { _ in UInt8(truncatingIfNeeded: random.next()) } }

    mutating func below(_ bound: Int) -> Int { random.below(bound) }
}

extension MemberTable {
    /// These members, all present; the first one is the node itself.
    init(_ records: [MemberRecord]) {
        self.init(own: records[0])
        for record in records.dropFirst() { _ = insert(Entry(record: record, state: .alive, incarnation: 0, since: .zero)) }
    }
}
