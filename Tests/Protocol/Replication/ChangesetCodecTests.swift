import PatinaProtocol
import Testing

@Suite("ChangesetCodec")
struct ChangesetCodecTests {
    /// A changeset that keeps every rule of the format.
    static func changeset(_ random: inout Random) -> Changeset {
        var changeset = Changeset()
        for table in 0..<(1 + random.below(3)) {
            changeset.tables.append(.init(name: "table\(table)", columns: (0..<random.below(6)).map { "column \($0)" }))
        }
        for _ in 0..<random.below(8) {
            let table = random.below(changeset.tables.count)
            let columns = changeset.tables[table].columns.count
            var row = RowChange(
                table: table, key: PackedKey.encode([value(&random), value(&random)]), causalLength: 1 + random.below(UInt64(5)),
                sentinel: nil,
                cells: [])
            if row.causalLength & 1 == 0 || columns == 0 || random.below(3) == 0 {
                row.sentinel = .init(
                    columnVersion: row.causalLength + (random.below(4) == 0 ? 2 : 0), sequence: random.below(UInt64(1_000)))
            }
            if row.causalLength & 1 == 1 {
                var order = Array(0..<columns)
                if random.below(2) == 0 { random.shuffle(&order) }
                let count = row.sentinel == nil ? 1 + random.below(columns) : random.below(columns + 1)
                let first = random.below(UInt64(1) << random.below(UInt64(40)))
                for (offset, column) in order.prefix(count).enumerated() {
                    row.cells.append(
                        CellChange(
                            column: column, columnVersion: random.below(3) == 0 ? random.below(UInt64(300)) : 1,
                            sequence: random.below(8) == 0 ? random.below(CellRun.counterLimit) : first + UInt64(offset),
                            value: value(&random)))
                }
            }
            changeset.rows.append(row)
        }
        for table in 0..<(random.below(4) == 0 ? random.below(3) : 0) {
            changeset.omitted.append(.init(name: "gone\(table)", columns: (0..<random.below(3)).map { "column \($0)" }))
        }
        return changeset
    }

    static func value(_ random: inout Random) -> Value {
        switch random.below(9) {
        case 0: .null
        case 1: .integer(0)
        case 2: .integer(Int64(bitPattern: random.next() >> random.below(UInt64(64))))
        case 3: .integer(Int64.min + Int64(random.below(3)))
        case 4: .real(-0.0)
        case 5: .real(Double(sign: .minus, exponent: random.below(2_000) - 1_000, significand: 1.7))
        case 6: .text("text \(random.below(100))")
        case 7: .text([0xFF, 0x00, 0xC3])
        default: .blob(Array(repeating: 7, count: random.below(300)))
        }
    }

    @Test("changeset codec: what is written is read back", arguments: 0..<200 as Range<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var random = Random(seed: seed)
        let changeset = Self.changeset(&random)
        let bytes = ChangesetCodec.encode(changeset)
        #expect(try ChangesetCodec.decode(bytes) == changeset)
        // Fields of a later version stand behind what is known.
        #expect(try ChangesetCodec.decode(bytes + [1, 2, 3]) == changeset)
    }

    @Test("changeset codec: changed, cut and random bytes are refused or read, never worse", arguments: 0..<300 as Range<UInt64>)
    func fuzz(seed: UInt64) {
        var random = Random(seed: seed)
        let bytes = ChangesetCodec.encode(Self.changeset(&random))
        var refused = 0
        for _ in 0..<60 {
            var mutated = bytes
            for _ in 0...random.below(4) {
                let position = random.below(mutated.count)
                switch random.below(4) {
                case 0: mutated[position] ^= 1 << UInt8(random.below(8))
                case 1: mutated[position] = UInt8(truncatingIfNeeded: random.next())
                case 2: mutated.removeSubrange(position..<min(mutated.count, position + 1 + random.below(4)))
                default: mutated.insert(UInt8(truncatingIfNeeded: random.next()), at: position)
                }
                if mutated.isEmpty { mutated = [1] }
            }
            do {
                let decoded = try ChangesetCodec.decode(mutated)
                expectConsistent(decoded)
                #expect((try? ChangesetCodec.decode(ChangesetCodec.encode(decoded))) == decoded)
            } catch { refused += 1 }
        }
        #expect(refused > 0)
        for length in 0..<bytes.count where length < 40 { _ = try? ChangesetCodec.decode(Array(bytes[..<length])) }
        _ = try? ChangesetCodec.decode((0..<random.below(200)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
    }

    /// What `decode` promises about everything that it returns.
    private func expectConsistent(_ changeset: Changeset) {
        for row in changeset.rows {
            #expect(changeset.tables.indices.contains(row.table))
            let columns = row.cells.map(\.column)
            #expect(columns.allSatisfy { changeset.tables[row.table].columns.indices.contains($0) })
            #expect(Set(columns).count == columns.count)
            #expect(row.causalLength & 1 == 0 ? row.cells.isEmpty && row.sentinel != nil : row.sentinel != nil || !row.cells.isEmpty)
        }
    }

    @Test("changeset codec: each broken rule has its reason")
    func reasons() {
        func reason(_ bytes: [UInt8]) -> String {
            do {
                _ = try ChangesetCodec.decode(bytes)
                return "accepted"
            } catch { return error.reason }
        }
        let head: [UInt8] = [1, 1, 1, 0x74, 2, 1, 0x61, 1, 0x62]
        #expect(reason([]) == "truncated: a byte is missing")
        #expect(reason([2]) == "a changeset has the unknown format 2")
        #expect(reason([1, 0xFF, 0xFF, 0x03]) == "number of tables: 65535 is over the limit of 3")
        #expect(reason([1, 2, 1, 0x74, 0, 1, 0x74, 0, 0]) == "a changeset names table t twice")
        #expect(reason([1, 1, 1, 0x74, 2, 1, 0x61, 1, 0x61, 0]) == "table t has column a twice in a changeset")
        #expect(reason(head + [1, 8, 0]) == "a row names table 1 of 1")
        #expect(reason(head + [1, 0, 0, 0]) == "a row has neither a sentinel nor a cell")
        #expect(reason(head + [1, 1, 0, 0, 0]) == "a row has the causal length 0")
        #expect(reason(head + [1, 1, 0, 2, 0]) == "a deletion needs a sentinel and no cells")
        #expect(reason(head + [1, 6, 0, 0, 2, 0]) == "a sentinel of version 2 does not fit the causal length 1")
        #expect(reason(head + [1, 0, 0, 3 << 3]) == "a row has 3 cells in 2 columns")
        #expect(reason(head + [1, 0, 0, 2 << 3 | 6, 1, 1, 1, 0, 0, 0]) == "a row has column 1 twice")
        #expect(reason(head + [1, 0, 0, 1 << 3 | 7, 2]) == "column: 2 is over the limit of 1")
        #expect(reason(head + [1, 0, 0, 1 << 3 | 7, 0, 1, 0, 9]) == "a value has the unknown tag 9")
        #expect(reason(head + [1, 0, 0, 1 << 3 | 7, 0, 1, 0, 2] + Array(repeating: 0xFF, count: 8)) == "a REAL is not a number")
        #expect(reason(head + [1, 0, 0, 1 << 3 | 7, 0, 1] + Array(repeating: 0xFF, count: 8) + [1]).hasSuffix("is over the limit of 2^56"))
        #expect(reason(head + [1, 0, 0, 1 << 3 | 7, 0, 1, 0, 0]) == "accepted")
    }
}

@Suite("PackedKey")
struct PackedKeyTests {
    @Test("packed key: equal exactly when the values are, and read back", arguments: 0..<100 as Range<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var random = Random(seed: seed)
        let values = (0..<random.below(5)).map { _ in ChangesetCodecTests.value(&random) }
        let bytes = PackedKey.encode(values)
        #expect(try PackedKey.decode(bytes) == values)
        for _ in 0..<100 {
            var mutated = bytes
            mutated[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            // What is accepted is in the one form that encoding gives.
            if let other = try? PackedKey.decode(mutated) { #expect(PackedKey.encode(other) == mutated) }
        }
        for length in bytes.indices { #expect(throws: MalformedInput.self) { try PackedKey.decode(Array(bytes[..<length])) } }
    }

    @Test("packed key: numbers that are not as short as they can be, and bytes too many, are refused")
    func canonical() {
        for bytes: [UInt8] in [
            [1, 0x11, 0, 5], [1, 0x0B, 0], [1, 0x0D, 5], [1, 0x49], [1, 0x07], [1, 0x09, 5, 5], [2, 0x09, 5],
            [1, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            #expect(throws: MalformedInput.self, "\(bytes)") { try PackedKey.decode(bytes) }
        }
    }
}

@Suite("ValueOrder")
struct ValueOrderTests {
    @Test("value order: INTEGER > REAL > TEXT > BLOB > NULL, numbers by size, bytes by memcmp")
    func order() {
        let ascending: [Value] = [
            .null, .blob([]), .blob([0]), .blob([0, 0]), .blob([0x7F]), .blob([0x80]), .text(""), .text("B"), .text("a"), .text("aa"),
            .text("b"),
            .text([0xFF]), .real(-.infinity), .real(-1.5), .real(0), .real(5), .real(.infinity), .integer(.min), .integer(-1), .integer(0),
            .integer(5), .integer(.max),
        ]
        for (index, left) in ascending.enumerated() {
            for (other, right) in ascending.enumerated() {
                #expect(left.mergeOrdering(to: right) == (index == other ? .equal : index < other ? .less : .greater))
            }
        }
        #expect(Value.real(0).mergeOrdering(to: .real(-0.0)) == .equal)
    }
}
