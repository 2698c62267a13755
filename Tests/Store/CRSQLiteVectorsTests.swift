import Foundation
import PatinaProtocol
import Testing

@testable import PatinaStore

/// Replays cases recorded from the cr-sqlite binary that Corrosion ships: the same statements and changes must give the same rows
/// and the same clocks. `CRSQLITE_VECTORS` names another file of the same format.
@Suite("CRSQLiteVectors")
struct CRSQLiteVectorsTests {
    /// The cases of our own file that need a rule to pass. Cases of other files may need the same rules, and no others.
    static let deviations: [String: VectorReplay.Deviation] = [
        "pkonly_tie_meq_after_delete": .sentinelConverges,
        "sentinel_cl1_on_existing_row": .sentinelConverges,
        "own_site_newer_from_peer": .ownChangesReturn,
        "site_id_short": .siteLength,
        "equal_int_higher_site_meq0": .equalValuesMerge,
        "equal_null_higher_site_meq0": .equalValuesMerge,
        "delete_same_cl_already_deleted_meq0": .equalValuesMerge,
    ]

    @Test("vectors: every recorded case gives the recorded rows and clocks, or differs by a listed rule")
    func replayAll() throws {
        let file = try VectorFile.load()
        #expect(!file.cases.isEmpty)
        let isOurs = ProcessInfo.processInfo.environment["CRSQLITE_VECTORS"] == nil
        for vector in file.cases {
            do {
                let (differences, deviations) = try VectorReplay.replay(vector)
                #expect(differences.isEmpty, "\(vector.name): \(differences.joined(separator: "; "))")
                if isOurs { #expect(deviations == Self.deviations[vector.name].map { [$0] } ?? [], "\(vector.name)") }
            } catch {
                Issue.record("\(vector.name): \(error)")
            }
        }
    }

    @Test("vectors: every random case gives the recorded rows and clocks, or differs by a listed rule")
    func replayRandom() throws {
        let cases = try VectorFile.load("random.json").cases
        #expect(cases.count > 50)
        var used = Set<VectorReplay.Deviation>()
        for vector in cases {
            do {
                let (differences, deviations) = try VectorReplay.replay(vector)
                #expect(differences.isEmpty, "\(vector.name): \(differences.joined(separator: "; "))")
                used.formUnion(deviations)
            } catch {
                Issue.record("\(vector.name): \(error)")
            }
        }
        #expect(used.isSubset(of: [.sentinelConverges, .ownChangesReturn, .noVersionReuse, .oneTimestamp, .equalValuesMerge]))
    }

    @Test("vectors: that rows which missed their deletion start afresh shows in these cases only")
    func missedValues() throws {
        var differing: [String] = []
        for original in try VectorFile.load("crsqlite.json").cases {
            var vector = original
            vector.name += "-afresh"
            if let differences = try? VectorReplay.replay(vector, keepsMissedValues: false).differences, !differences.isEmpty {
                differing.append(original.name)
            }
        }
        #expect(differing.sorted() == ["resurrect_alive_missed_delete_sentinel_first", "resurrect_zeroed_cell_vs_cv0_tie"])
    }

    /// How cases of our own file may be changed so that the recording must change in the same way. Not those of any file: a statement that
    /// changes many rows visits them in another order WITHOUT ROWID, for one.
    enum Variation: String, CaseIterable {
        /// Other site ids in the same order.
        case otherSites
        /// Remote versions and sequence numbers moved up.
        case laterVersions
        case withoutRowid
        /// A table and a column that the case does not know.
        case moreSchema
        /// The wrong recording must not pass.
        case wrongRecording
    }

    @Test("vectors: variations of the recorded cases", arguments: Variation.allCases)
    func variations(variation: Variation) throws {
        var tried = 0
        for original in try VectorFile.load("crsqlite.json").cases {
            guard let vector = varied(original, variation) else { continue }
            tried += 1
            do {
                let (differences, _) = try VectorReplay.replay(vector)
                #expect(
                    differences.isEmpty == (variation != .wrongRecording),
                    "\(vector.name), \(variation.rawValue): \(differences.joined(separator: "; "))")
            } catch {
                Issue.record("\(vector.name), \(variation.rawValue): \(error)")
            }
        }
        #expect(tried > 5)
    }

    private func varied(_ original: VectorCase, _ variation: Variation) -> VectorCase? {
        var vector = original
        // Stores are named after their case, and the tests run at the same time.
        vector.name += "-\(variation.rawValue)"
        switch variation {
        case .otherSites:
            // Site ids of one repeated digit: the next digit but one keeps the order.
            func moved(_ site: String) -> String {
                let digits = Array("0123456789abcdef")
                return String(site.map { digit in digits.firstIndex(of: digit).map { digits[min(15, $0 + 2)] } ?? digit })
            }
            vector.localSite = moved(vector.localSite)
            vector.mapChanges { $0.siteId = $0.siteId.map(moved) }
        case .laterVersions:
            if vector.error != nil { return nil }
            vector.mapChanges { change in
                guard change.siteId != original.localSite else { return }
                change.dbVersion += 1_000
                change.seq += 70
            }
        case .withoutRowid:
            vector.schema = vector.schema.map { $0.uppercased().contains("WITHOUT ROWID") ? $0 : $0 + " WITHOUT ROWID" }
        case .moreSchema: vector.schema.append("CREATE TABLE spectator(id INTEGER PRIMARY KEY NOT NULL, a, b)")
        case .wrongRecording:
            if Self.deviations[original.name] != nil || vector.after.changes.isEmpty { return nil }
            // Each time something else.
            switch vector.name.utf8.count % 4 {
            case 0: vector.after.changes[0].colVersion += 1
            case 1: vector.after.changes[0].seq += 1
            case 2: vector.after.changes[0].dbVersion += 1
            default: vector.after.changes.removeFirst()
            }
        }
        return vector
    }

    @Test("vectors: every recorded packed key is encoded and decoded alike")
    func packedKeys() throws {
        for vector in try VectorFile.load().packColumns ?? [] where vector.error == nil {
            let values = vector.values.map(\.value)
            let encoded = PackedKey.encode(values)
            let ours = hexadecimal(encoded)
            // Long recordings are cut short, and end in an ellipsis.
            let isCut = vector.hex.hasSuffix("...")
            #expect(isCut ? ours.hasPrefix(vector.hex.dropLast(3)) : ours == vector.hex, "\(vector.values)")
            if let length = vector.len { #expect(encoded.count == length) }
            #expect(try PackedKey.decode(encoded) == values)
            if !isCut { #expect(try PackedKey.decode(bytes(fromHexadecimal: vector.hex)) == values) }
        }
    }
}

extension VectorCase {
    /// Changes every change, recorded ones included.
    fileprivate mutating func mapChanges(_ body: (inout VectorChange) -> Void) {
        func each(_ changes: inout [VectorChange]) { for index in changes.indices { body(&changes[index]) } }
        for index in setup?.indices ?? 0..<0 where setup?[index].mergeTx != nil { each(&setup![index].mergeTx!) }
        for index in incomingTxs.indices { each(&incomingTxs[index]) }
        if before != nil { each(&before!.changes) }
        each(&after.changes)
    }
}
