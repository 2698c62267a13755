import PatinaTOML
import Testing

@Suite struct SpellingTests {
    @Test(
        "spelling: edit distance",
        arguments: [
            ("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("form", "from", 1), ("duratoin", "duration", 1),
        ])
    func distance(left: String, right: String, distance: Int) {
        #expect(Spelling.editDistance(Array(left.utf8), Array(right.utf8)) == distance)
        #expect(Spelling.editDistance(Array(right.utf8), Array(left.utf8)) == distance)
    }

    @Test("spelling: a far word is no suggestion")
    func far() { #expect(Spelling.nearest(to: "bandwidth", among: ["loss", "latency"]) == nil) }
}
