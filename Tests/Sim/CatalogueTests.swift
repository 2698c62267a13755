// Goal: the documentation lists the faults and checks that there are, in the words of the code.
// Method: the tables between the marks of docs/scenarios.md are compared with what the commands print.

import PatinaProtocol
import Testing

@testable import PatinaSim

@Suite struct CatalogueTests {
    private func table(_ name: String) throws -> String {
        let path = String(#filePath.dropLast("Tests/Sim/CatalogueTests.swift".count)) + "docs/scenarios.md"
        let text = try FileAccess.read(path)
        let begin = try #require(text.firstRange(of: "<!-- \(name) -->\n"))
        let end = try #require(text.firstRange(of: "<!-- end of \(name) -->"))
        return String(text[begin.upperBound..<end.lowerBound])
    }

    @Test("catalogue: the table of faults is the code's")
    func faults() throws { #expect(try table("faults") == Catalogue.faults) }

    @Test("catalogue: the table of checks is the code's")
    func checks() throws { #expect(try table("checks") == Catalogue.checks) }

    @Test("catalogue: the table of chaos points is the code's, and their names are their own")
    func chaos() throws {
        #expect(try table("chaos points") == Catalogue.chaos)
        #expect(ChaosPoint.allCases.count >= 12 && ChaosPoint.allCases.count <= 64)
        #expect(Set(ChaosPoint.allCases.map(\.name)).count == ChaosPoint.allCases.count)
        #expect(ChaosPoint.allCases.allSatisfy { ChaosPoint(name: $0.name) == $0 && !$0.summary.isEmpty })
    }

    @Test("catalogue: kinds of faults have names of their own, a summary, and no key that all faults have")
    func kinds() {
        let names = FaultKind.all.map(\.name)
        #expect(names.count >= 24)
        #expect(Set(names).count == names.count)
        for kind in FaultKind.all {
            #expect(!kind.summary.isEmpty && !kind.engines.isEmpty)
            #expect((kind.notLive == nil) == kind.engines.contains(.live), "\(kind.name)")
            let keys = kind.keys.map(\.name)
            #expect(Set(keys).count == keys.count)
            #expect(Set(keys).isDisjoint(with: ["id", "kind", "at", "every", "from", "to", "for"]))
        }
    }
}
