import CSQLite
import PatinaProtocol
import Testing

@testable import PatinaStore

/// A wall clock that a test sets.
final class ManualClock: @unchecked Sendable {
    var nanoseconds: Int64 = 1_000_000_000
}

/// Stores of a test: in memory, under names of their own, with identities that sort as their numbers do.
struct StoreHarness {
    let name: String
    let clock = ManualClock()

    init(_ name: String) { self.name = name }

    func actor(_ number: Int) -> ActorID { ActorID(high: UInt64(number) << 56 | 0x4000, low: 0x8000_0000_0000_0000) }

    func store(_ number: Int = 1, schema: String? = nil, chunkBytes: Int = 16_384, identity: ActorID? = nil, unfolded: Int = 16_384) throws
        -> Store
    {
        var options = StoreOptions()
        options.simulated = true
        options.identity = identity ?? actor(number)
        options.limits.chunkBytes = chunkBytes
        options.unfoldedClocks = unfolded
        let clock = clock
        options.wallClock = { clock.nanoseconds }
        let store = try Store(.memory(name: "\(name)-\(number)"), options: options)
        if let schema { _ = try store.applySchema([SchemaFile(path: "schema.sql", text: schema)]) }
        return store
    }
}

extension Store {
    @discardableResult
    func run(_ statements: String...) throws -> TransactionOutcome { try transact(statements.map { Statement($0) }) }

    /// Merges the chunks and expects nothing to be refused.
    func take(_ chunks: [Chunk], _ empties: [EmptyVersions] = [], sourceLocation: SourceLocation = #_sourceLocation) {
        switch perform(.apply(chunks: chunks, empties: empties)) {
        case .applied(_, let refused): #expect(refused == [], sourceLocation: sourceLocation)
        case let other: Issue.record("apply answered \(other)", sourceLocation: sourceLocation)
        }
    }

    func serve(_ wants: [ReadRequest.Want], byteLimit: Int = .max) throws -> (
        chunks: [Chunk], empties: [EmptyVersions], remaining: [ReadRequest.Want]
    ) {
        guard case .read(let chunks, let empties, let remaining) = perform(.read(ReadRequest(wants: wants, byteLimit: byteLimit))) else {
            throw StoreError.closed
        }
        return (chunks, empties, remaining)
    }

    /// Does everything that there is for `upkeep`; returns what it told.
    @discardableResult
    func finishUpkeep() throws -> [LedgerChange] {
        var changes: [LedgerChange] = []
        var steps = 0
        while needsUpkeep {
            steps += 1
            if steps > 10_000 { throw StoreError.busy(message: "upkeep does not end") }
            changes += try upkeep().changes
        }
        return changes
    }

    func rows(_ sql: String) throws -> [[Value]] {
        let statement = try connection.prepareUncached(sql)
        var rows: [[Value]] = []
        while try statement.step() { rows.append((0..<statement.columnCount).map { statement.value($0) }) }
        return rows
    }

    /// Rows as text, for short expectations.
    func text(_ sql: String) throws -> [String] {
        try rows(sql).map { row in
            row.map { value in
                switch value {
                case .null: "NULL"
                case .integer(let number): "\(number)"
                case .real(let number): "\(number)"
                case .text(let bytes): String(decoding: bytes, as: UTF8.self)
                case .blob(let bytes): "x" + bytes.map { String($0, radix: 16) }.joined()
                }
            }.joined(separator: "|")
        }
    }

    /// Expects `verify()` to find nothing.
    func expectSound(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try verify() == [], sourceLocation: sourceLocation)
    }
}

/// One cell or sentinel with its clock, as cr-sqlite's `crsql_changes` shows it.
struct ClockedCell: Hashable, Comparable, CustomStringConvertible {
    var table: String
    var key: String
    /// `-1` for the sentinel.
    var column: String
    var value: Value
    var columnVersion: UInt64
    var version: UInt64
    var site: String
    var causalLength: UInt64
    var sequence: UInt64
    var timestamp: String

    var description: String {
        "\(table) \(key) \(column)=\(value) cv\(columnVersion) v\(version) \(site.prefix(4)) cl\(causalLength) s\(sequence) ts\(timestamp)"
    }

    static func < (left: ClockedCell, right: ClockedCell) -> Bool { left.description < right.description }
}

func hexadecimal(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }

extension Store {
    /// Every cell and sentinel that the store knows, sorted.
    func clockedCells() throws -> [ClockedCell] {
        var result: [ClockedCell] = []
        let clocks = clocks
        func timestamp(_ site: Int, _ version: UInt64) throws -> String {
            let rows = try rows("SELECT timestamp FROM __patina_versions WHERE id = \(Bookkeeping.versionID(site, version))")
            guard case .integer(let number)? = rows.first?.first else { return "none" }
            return "\(UInt64(bitPattern: number))"
        }
        for table in catalog.tables {
            let names = (table.keyColumns.map(\.name) + table.columns.map(\.name)).map(quoted).joined(separator: ", ")
            let rowid = table.keying == .packedKey ? "0" : table.keying == .rowidAlias ? quoted(table.keyColumns[0].name) : table.rowidName
            for row in try rows("SELECT \(rowid), \(names) FROM \(quoted(table.name))") {
                guard case .integer(let rowid) = row[0] else { continue }
                let key = PackedKey.encode(Array(row[1...table.keyColumns.count]))
                guard let clock = try clocks.read(table, rowid: rowid, key, 0..<key.count, hash: key.withUnsafeBytes { keyHash($0) }) else {
                    continue
                }
                if let sentinel = clock.sentinel {
                    result.append(
                        ClockedCell(
                            table: table.name, key: hexadecimal(key), column: "-1", value: .null, columnVersion: clock.causalLength,
                            version: sentinel.version, site: sites.actors[sentinel.site].hexadecimal, causalLength: clock.causalLength,
                            sequence: sentinel.sequence, timestamp: try timestamp(sentinel.site, sentinel.version)))
                }
                for cell in clock.cells {
                    result.append(
                        ClockedCell(
                            table: table.name, key: hexadecimal(key), column: table.columns[cell.column].name,
                            value: row[1 + table.keyColumns.count + cell.column], columnVersion: cell.columnVersion, version: cell.version,
                            site: sites.actors[cell.site].hexadecimal, causalLength: clock.causalLength, sequence: cell.sequence,
                            timestamp: try timestamp(cell.site, cell.version)))
                }
            }
            for key in try tombstoneKeys(table) {
                guard let tombstone = try clocks.readTombstone(table, key, 0..<key.count), let sentinel = tombstone.sentinel else {
                    continue
                }
                result.append(
                    ClockedCell(
                        table: table.name, key: hexadecimal(key), column: "-1", value: .null, columnVersion: tombstone.causalLength,
                        version: sentinel.version, site: sites.actors[sentinel.site].hexadecimal, causalLength: tombstone.causalLength,
                        sequence: sentinel.sequence, timestamp: try timestamp(sentinel.site, sentinel.version)))
            }
        }
        return result.sorted()
    }

    /// Keys that have a tombstone, or had one lately.
    private func tombstoneKeys(_ table: Table) throws -> [[UInt8]] {
        var keys = Set<[UInt8]>()
        for row in try rows("SELECT key FROM \(quoted(table.tombstoneTable))") {
            if case .blob(let key) = row[0] { keys.insert(key) }
        }
        for entry in overlay.entries where entry.kind == .tombstone && entry.table == table.id {
            keys.insert(Array(overlay.bytes[entry.key]))
        }
        return Array(keys)
    }
}
