import PatinaProtocol
import PatinaSim

@testable import PatinaStore

/// cr-sqlite's merge of a single row with columns a and b, change by change, written down from the rules that were observed at its binary
/// ("as Corrosion sets it": equal values go to the greater site). Makes cases of the form of the recorded ones.
struct MergeModel {
    struct Origin: Hashable {
        var site: String
        var version: Int64
        var sequence: Int64
    }

    struct Cell {
        var columnVersion: Int64
        var origin: Origin
    }

    static let local = String(repeating: "5", count: 32)
    static let remotes = ["1", "a", "f"].map { String(repeating: $0, count: 32) }
    static let columns = ["a", "b"]

    /// Sentinel: its column version is the causal length.
    private(set) var sentinel: Cell?
    private(set) var cells: [String: Cell] = [:]
    /// Nil while there is no row.
    private(set) var values: [String: VectorValue]?
    private(set) var ownVersion: UInt64 = 0

    var causalLength: Int64 { sentinel?.columnVersion ?? (cells.isEmpty ? 0 : 1) }

    // MARK: Merging

    /// Returns how many changes won.
    mutating func merge(_ change: VectorChange) -> Int {
        let origin = Origin(site: change.siteId ?? "", version: change.dbVersion, sequence: change.seq)
        let length = causalLength
        if change.cl < length { return 0 }
        if change.cl % 2 == 0 {
            if change.cl == length {
                if let sentinel, origin.site > sentinel.origin.site { self.sentinel?.origin = origin }
                return 0
            }
            values = nil
            cells = [:]
            sentinel = Cell(columnVersion: change.colVersion, origin: origin)
            return 1
        }
        if change.isSentinel {
            if change.cl == length { return 0 }
            resurrect(change.colVersion, origin)
            return 1
        }
        var impact = 0
        if change.cl > length, length > 0 || change.cl > 1 {
            resurrect(change.cl, origin)
            impact += 1
            // It is not compared with what the row held.
            cells[change.cid] = nil
        }
        if let present = cells[change.cid], !wins(change, origin, over: present) { return impact }
        var row = values ?? Self.defaults
        row[change.cid] = change.val
        values = row
        cells[change.cid] = Cell(columnVersion: change.colVersion, origin: origin)
        return impact + 1
    }

    private static var defaults: [String: VectorValue] {
        ["a": VectorValue(t: "null", v: nil), "b": VectorValue(t: "null", v: nil)]
    }

    private mutating func resurrect(_ columnVersion: Int64, _ origin: Origin) {
        values = values ?? Self.defaults
        for column in Self.columns { cells[column]?.columnVersion = 0 }
        sentinel = Cell(columnVersion: columnVersion, origin: origin)
    }

    private func wins(_ change: VectorChange, _ origin: Origin, over present: Cell) -> Bool {
        if change.colVersion != present.columnVersion { return change.colVersion > present.columnVersion }
        let (new, old) = (Self.rank(change.val), Self.rank(values?[change.cid]))
        if new != old { return new > old }
        return origin.site > present.origin.site
    }

    /// The values of the cases, in the order of merging.
    private static func rank(_ value: VectorValue?) -> Int {
        samples.firstIndex { $0.t == value?.t && $0.v?.text == value?.v?.text } ?? 0
    }

    /// NULL < BLOB < TEXT < REAL < INTEGER; then by bytes or by size.
    static let samples: [VectorValue] = [
        VectorValue(t: "null", v: nil), VectorValue(t: "blob", v: LenientText("")), VectorValue(t: "blob", v: LenientText("01ff")),
        VectorValue(t: "text", v: LenientText("")), VectorValue(t: "text", v: LenientText("9")),
        VectorValue(t: "text", v: LenientText("9a")),
        VectorValue(t: "real", v: LenientText("-1.5")), VectorValue(t: "real", v: LenientText("1.0")),
        VectorValue(t: "int", v: LenientText("-7")), VectorValue(t: "int", v: LenientText("1")),
    ]

    // MARK: Local statements

    /// A local transaction, and its statements.
    mutating func write(_ random: inout Random) -> [String] {
        let version = Int64(ownVersion) + 1
        func origin(_ sequence: Int64) -> Origin { Origin(site: Self.local, version: version, sequence: sequence) }
        guard values != nil else {
            let isFirst = causalLength == 0
            if !isFirst { sentinel = Cell(columnVersion: causalLength + 1, origin: origin(0)) }
            let first: Int64 = isFirst ? 0 : 1
            cells = ["a": Cell(columnVersion: 1, origin: origin(first)), "b": Cell(columnVersion: 1, origin: origin(first + 1))]
            values = ["a": VectorValue(t: "int", v: LenientText("1")), "b": VectorValue(t: "text", v: LenientText("9"))]
            ownVersion += 1
            return ["INSERT INTO t VALUES ('k', 1, '9')"]
        }
        if random.below(3) == 0 {
            sentinel = Cell(columnVersion: sentinel.map { $0.columnVersion + 1 } ?? 2, origin: origin(0))
            (cells, values) = ([:], nil)
            ownVersion += 1
            return ["DELETE FROM t"]
        }
        let value = Self.samples[random.below(2) == 0 ? 1 : 8]
        if values?["a"]?.t != value.t || values?["a"]?.v?.text != value.v?.text {
            cells["a"] = Cell(columnVersion: (cells["a"]?.columnVersion ?? 0) + 1, origin: origin(0))
            values?["a"] = value
            ownVersion += 1
        }
        return ["UPDATE t SET a = \(value.t == "blob" ? "x''" : "-7")"]
    }

    // MARK: Cases

    var state: VectorState {
        var changes: [VectorChange] = []
        func add(_ column: String, _ cell: Cell, _ value: VectorValue?) {
            changes.append(
                VectorChange(
                    table: "t", pk: "010b016b", cid: column, val: value, colVersion: cell.columnVersion, dbVersion: cell.origin.version,
                    siteId: cell.origin.site, cl: causalLength, seq: cell.origin.sequence, ts: LenientText("100")))
        }
        if let sentinel { add("-1", sentinel, nil) }
        for column in Self.columns { if let cell = cells[column] { add(column, cell, values?[column]) } }
        var row = values
        row?["id"] = VectorValue(t: "text", v: LenientText("k"))
        return VectorState(rows: ["t": row.map { [$0] } ?? []], changes: changes, crsqlDbVersion: ownVersion)
    }

    /// A case with some local transactions and merges, then a group of changes.
    static func vector(seed: UInt64) -> VectorCase {
        var random = Random(seed: seed)
        var model = MergeModel()
        var versions: [String: Int64] = [:]
        func change() -> VectorChange {
            let site = remotes[Int(random.below(UInt64(remotes.count)))]
            let version = (versions[site] ?? 0) + 1
            versions[site] = version
            let length = Int64(random.below(5)) + 1
            let isSentinel = length % 2 == 0 || random.below(3) == 0
            let value = samples[Int(random.below(UInt64(samples.count)))]
            return VectorChange(
                table: "t", pk: "010b016b", cid: isSentinel ? "-1" : columns[Int(random.below(2))],
                val: isSentinel ? VectorValue(t: "null", v: nil) : value, colVersion: isSentinel ? length : Int64(random.below(4)),
                dbVersion: version, siteId: site, cl: length, seq: Int64(random.below(3)), ts: LenientText("100"))
        }
        var setup: [VectorStep] = []
        for _ in 0..<random.below(4) {
            if random.below(2) == 0 {
                setup.append(VectorStep(localTx: model.write(&random), ts: LenientText("100"), mergeTx: nil))
            } else {
                let changes = (0...random.below(2)).map { _ in change() }
                for change in changes { _ = model.merge(change) }
                setup.append(VectorStep(localTx: nil, ts: nil, mergeTx: changes))
            }
        }
        let before = model.state
        let incoming = (0...random.below(4)).map { _ in change() }
        var impact = 0
        for change in incoming { impact += model.merge(change) }
        return VectorCase(
            name: "model-\(seed)", mergeEqualValues: 1, schema: ["CREATE TABLE t(id PRIMARY KEY NOT NULL, a, b)"], localSite: local,
            setup: setup, before: before, incomingTxs: [incoming], error: nil, rowsImpacted: [impact], after: model.state)
    }
}
