import CSQLite
import Glibc
import PatinaStore

/// What is measured, and how long.
struct Options {
    /// Rows of a round with 1,000 rows a transaction; with 1 and 10 a fifth.
    var rows = 100_000
    /// Rounds, of which the median counts.
    var rounds = 5
    /// Where the databases are made.
    var directory = "/tmp"
    /// Size of the database that is opened anew; 0: none, because it takes long to fill.
    var largeGigabytes = 0
    /// Rows of the database whose writer is held up; 0: that is not measured, because it takes minutes.
    var holdRows = 0
    /// Only these groups: `write8`, `write8/1000`, `merge2`, `extract8`, `bytes8`, `tables100`, `group-commit`…
    var only: [String] = []

    init(_ arguments: [String]) {
        var rest = arguments[...]
        while let option = rest.popFirst() {
            guard let value = rest.popFirst() else { Self.fail("\(option) needs a value") }
            switch option {
            case "--rows": rows = Int(value).map { max($0, 4_000) } ?? rows
            case "--rounds": rounds = Int(value).map { max($0, 1) } ?? rounds
            case "--large": largeGigabytes = Int(value).map { max($0, 0) } ?? 0
            case "--holds": holdRows = Int(value).map { max($0, 0) } ?? 0
            case "--directory": directory = value
            case "--only": only = value.split(separator: ",").map(String.init)
            default: Self.fail("unknown option \(option)")
            }
        }
    }

    private static func fail(_ message: String) -> Never {
        print(
            "\(message)\nusage: StoreBenchmark [--rows N] [--rounds N] [--directory PATH] [--large GIGABYTES] [--holds ROWS] "
                + "[--only NAME,NAME]")
        exit(2)
    }

    func includes(_ name: String) -> Bool { only.isEmpty || only.contains { name == $0 || name.hasPrefix($0 + "/") } }
}

@main
enum StoreBenchmark {
    static func main() throws {
        let options = Options(Array(CommandLine.arguments.dropFirst()))
        // As a store does when it is the first to use SQLite; here plain SQLite is, and is to gain by it as well.
        _ = patina_sqlite3_config_memstatus(0)
        let directory = Directory(below: options.directory)
        defer { directory.remove() }
        let writes = LocalWrites(directory: directory, options: options)
        let merges = MergesAndReads(directory: directory, options: options)
        for columns in [8, 2] {
            for batch in [1, 10, 1_000] where options.includes("write\(columns)/\(batch)") {
                try report { try writes.measure(columns: columns, batch: batch, into: &$0) }
            }
            for batch in [1_000, 1] where options.includes("merge\(columns)/\(batch)") {
                try report { try merges.measureMerges(columns: columns, batch: batch, into: &$0) }
            }
            if options.includes("extract\(columns)") { try report { try merges.measureExtraction(columns: columns, into: &$0) } }
            if options.includes("bytes\(columns)") { try report { try writes.measureBytes(columns: columns, into: &$0) } }
        }
        for count in [1, 100] where options.includes("tables\(count)") {
            try report { try writes.measureTables(count, into: &$0) }
        }
        let groups = GroupCommits(directory: directory, options: options)
        for waiting in [1, 8, 64] where options.includes("group-commit/\(waiting)") {
            for synchronous in [Synchronous.full, .normal] {
                try report { try groups.measure(waiting: waiting, synchronous: synchronous, into: &$0) }
            }
        }
        if options.holdRows > 0 {
            let holds = Holds(directory: directory, options: options)
            for synchronous in [Synchronous.normal, .full] { try holds.measure(rows: options.holdRows, synchronous: synchronous) }
        }
        if options.largeGigabytes > 0 {
            let large = LargeDatabase(directory: directory)
            try report { try large.measure(gigabytes: options.largeGigabytes, into: &$0) }
        }
    }

    /// Prints what one group of measurements found as soon as it is done.
    private static func report(_ body: (inout Results) throws -> Void) throws {
        var results = Results()
        try body(&results)
        results.printLines()
        fflush(nil)
    }
}
