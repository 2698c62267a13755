import PatinaProtocol
import Testing

@testable import PatinaStore

/// Goal: a clock reads as it was written, its bytes are those that `CellRun` makes however they come about, and damaged ones are an error.
/// Method: random clocks of few sites and versions, so that groups are long, short, and out of order; random changes of their bytes.
@Suite("ClockRecord")
struct ClockRecordTests {
    private static let columns = 40
    private static let sites = 5

    private func number(_ random: inout Random) -> UInt64 { random.below(4) == 0 ? random.below(CellRun.counterLimit) : random.below(300) }

    private func clock(_ random: inout Random) -> RowClock {
        var clock = RowClock(causalLength: random.below(200) << 1 | 1)
        if random.below(2) == 0 {
            clock.sentinel = SentinelClock(
                site: random.below(Self.sites), version: number(&random), sequence: number(&random), isDerived: random.below(2) == 0)
        }
        let origins = (0...random.below(3)).map { _ in (site: random.below(Self.sites), version: number(&random)) }
        let (share, first) = (random.below(5), random.below(CellRun.counterLimit - 100))
        for column in 0..<random.below(Self.columns + 1) where random.below(5) >= share {
            let origin = origins[random.below(origins.count)]
            clock.cells.append(
                CellClock(
                    column: column, columnVersion: share > 2 ? number(&random) : 1, site: origin.site, version: origin.version,
                    sequence: share > 1 ? number(&random) : first + UInt64(column)))
        }
        return clock
    }

    private func decode(_ bytes: [UInt8], _ keying: Keying) throws -> FoundClock {
        try bytes.withUnsafeBytes { try ClockRecord.decode($0, keying: keying, columns: Self.columns, sites: Self.sites) { $0 } }
    }

    @Test("clock record: a clock reads as it was written")
    func roundTrip() throws {
        var random = Random(seed: 1)
        var record: [UInt8] = []
        for round in 0..<3_000 {
            let clock = clock(&random)
            let hash = round % 2 == 0 ? UInt32(truncatingIfNeeded: random.next()) : nil
            ClockRecord.encode(clock, hash: hash, into: &record)
            let read = try decode(record, hash == nil ? .packedKey : .rowid)
            #expect(read.clock == clock)
            #expect(read.hash == hash)
        }
    }

    @Test("clock record: the ways to write one give the same bytes")
    func ways() {
        var random = Random(seed: 2)
        var (record, other): ([UInt8], [UInt8]) = ([], [])
        for _ in 0..<1_000 {
            let (count, site) = (1 + random.below(Self.columns), random.below(Self.sites))
            let (version, sequence) = (number(&random), number(&random))
            let hash = UInt32(truncatingIfNeeded: random.next())
            let length = UInt64(random.below(200) << 1 | 1)
            func cell(_ column: Int) -> CellClock {
                CellClock(column: column, columnVersion: 1, site: site, version: version, sequence: sequence + UInt64(column))
            }
            let sentinel = random.below(2) == 0 ? SentinelClock(site: site, version: version, sequence: number(&random)) : nil
            ClockRecord.encode(causalLength: length, sentinel: sentinel, count: count, hash: hash, into: &record, cell: cell)
            ClockRecord.encodeFresh(
                columns: count, sequence: sequence, site: site, version: version, causalLength: length, sentinel: sentinel, hash: hash,
                into: &other)
            #expect(record == other)
            let changes = (0..<count).map {
                CellChange(column: $0, columnVersion: number(&random), sequence: number(&random), value: .null)
            }
            ClockRecord.encodeInserted(changes, site: site, version: version, hash: hash, into: &other)
            ClockRecord.encode(causalLength: 1, sentinel: nil, count: count, hash: hash, into: &record) {
                CellClock(
                    column: $0, columnVersion: changes[$0].columnVersion, site: site, version: version, sequence: changes[$0].sequence)
            }
            #expect(record == other)
        }
    }

    @Test("clock record: damaged bytes are an error, or another clock that reads as it is written")
    func damaged() throws {
        var random = Random(seed: 3)
        var record: [UInt8] = []
        var (errors, clocks) = (0, 0)
        for _ in 0..<20_000 {
            ClockRecord.encode(clock(&random), hash: nil, into: &record)
            for _ in 0...random.below(3) {
                switch random.below(4) {
                case 0 where !record.isEmpty: record.removeLast(min(record.count, 1 + random.below(4)))
                case 1: record.append(UInt8(truncatingIfNeeded: random.next()))
                case 2: record.insert(0xFF, at: random.below(record.count + 1))
                default: if !record.isEmpty { record[random.below(record.count)] = UInt8(truncatingIfNeeded: random.next()) }
                }
            }
            let read: RowClock
            do { read = try decode(record, .packedKey).clock } catch is MalformedInput {
                errors += 1
                continue
            }
            clocks += 1
            ClockRecord.encode(read, hash: nil, into: &record)
            #expect(try decode(record, .packedKey).clock == read)
        }
        #expect(errors > 1_000 && clocks > 1_000)
    }
}
