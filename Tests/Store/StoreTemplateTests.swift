import PatinaProtocol
import Testing

@testable import PatinaStore

@Suite("Templates")
struct StoreTemplateTests {
    private static let schema = """
        CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT DEFAULT 'none', w);
        CREATE TABLE u (a TEXT NOT NULL, b INTEGER NOT NULL, c, PRIMARY KEY (a, b)) WITHOUT ROWID;
        CREATE INDEX t_by_w ON t (w);
        """

    private func options(_ number: UInt64, _ template: StoreTemplate?) -> StoreOptions {
        var options = StoreOptions()
        options.simulated = true
        options.guardsTables = false
        options.identity = ActorID(high: 7, low: number)
        options.wallClock = { 1_000_000_000 * Int64(number) }
        options.template = template
        return options
    }

    private func template() throws -> StoreTemplate { try StoreTemplate([SchemaFile(path: "schema.sql", text: Self.schema)]) }

    @Test("template: a copy is the database that opening and applying the schema would have made")
    func equalsOrdinary() throws {
        let anchor = try MemoryAnchor(name: "template-equal-copy", template: template())
        defer { anchor.close() }
        let copy = try Store(.memory(name: "template-equal-copy"), options: options(1, template()))
        defer { copy.close() }
        let ordinary = try Store(.memory(name: "template-equal-ordinary"), options: options(1, nil))
        defer { ordinary.close() }
        _ = try ordinary.applySchema([SchemaFile(path: "schema.sql", text: Self.schema)])
        #expect(copy.actor == ordinary.actor && copy.generation == 1 && ordinary.generation == 1)
        #expect(copy.ledger == ordinary.ledger)
        for sql in [
            "SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY name", "SELECT key || ' ' || value FROM __patina_meta",
            "SELECT ordinal || hex(actor) FROM __patina_sites", "SELECT id || name || keying FROM __patina_tables ORDER BY id",
            "SELECT table_id || ' ' || number || name FROM __patina_columns ORDER BY table_id, number",
        ] {
            #expect(try copy.text(sql) == ordinary.text(sql))
        }
        // The same transactions become the same bytes, and a third store merges them.
        let statements = [
            "INSERT INTO t (id, w) VALUES (1, 2), (3, 4)", "INSERT INTO u VALUES ('x', 1, 2.5)", "UPDATE t SET v = 'new' WHERE id = 3",
            "DELETE FROM t WHERE id = 1", "DELETE FROM u",
        ]
        let reader = try Store(.memory(name: "template-equal-reader"), options: options(2, nil))
        defer { reader.close() }
        _ = try reader.applySchema([SchemaFile(path: "schema.sql", text: Self.schema)])
        for statement in statements {
            let outcome = try copy.run(statement)
            #expect(outcome == (try ordinary.run(statement)))
            reader.take(outcome.chunks)
        }
        #expect(try copy.contentFingerprint() == ordinary.contentFingerprint())
        #expect(try copy.contentFingerprint() == reader.contentFingerprint())
        try copy.expectSound()
        try reader.expectSound()
    }

    @Test("template: what a copy was given outlives its store, and opening counts on")
    func reopens() throws {
        let template = try template()
        let anchor = try MemoryAnchor(name: "template-reopens", template: template)
        defer { anchor.close() }
        let first = try Store(.memory(name: "template-reopens"), options: options(1, template))
        #expect(!first.needsUpkeep)
        try first.run("INSERT INTO t (id, w) VALUES (1, 2), (3, 4)")
        try first.run("DELETE FROM t WHERE id = 1")
        let ledger = first.ledger
        first.close()
        // The anchor fills what is empty, and nothing else.
        let again = try MemoryAnchor(name: "template-reopens", template: template)
        defer { again.close() }
        let second = try Store(.memory(name: "template-reopens"), options: options(9, template))
        #expect(second.actor == ActorID(high: 7, low: 1))
        #expect(second.generation == 2)
        #expect(second.ledger == ledger)
        #expect(second.catalog.table(named: "t")?.mayHaveTombstones == true)
        #expect(second.catalog.table(named: "u")?.mayHaveTombstones == false)
        try second.expectSound()
        // With another schema the tables are examined.
        let wider = Self.schema.replacing("c, PRIMARY", with: "c, d, PRIMARY")
        _ = try second.applySchema([SchemaFile(path: "schema.sql", text: wider)])
        second.close()
        let third = try Store(.memory(name: "template-reopens"), options: options(1, template))
        defer { third.close() }
        #expect(third.generation == 3)
        #expect(third.catalog.table(named: "u")?.columns.map(\.name) == ["c", "d"])
        try third.expectSound()
    }

    @Test("template: a copy that is its store's alone is so until somebody wants to read beside it; then both go on")
    func readBeside() throws {
        let template = try template()
        var alone = options(1, template)
        alone.sharesMemory = false
        let anchor = try MemoryAnchor(name: "template-beside", template: template)
        defer { anchor.close() }
        let store = try Store(.memory(name: "template-beside"), options: alone)
        defer { store.close() }
        try store.run("INSERT INTO t (id, w) VALUES (1, 2)")
        // Nobody else gets in.
        #expect(throws: StoreError.self) {
            let stranger = try StoreReader(.memory(name: "template-beside"), options: options(1, template))
            _ = try stranger.prepare(Statement("SELECT w FROM t")).next()
        }
        let reader = try store.makeReader()
        defer { reader.close() }
        for number in 2...4 {
            #expect(try reader.prepare(Statement("SELECT count(*) FROM t")).next() == [.integer(Int64(number - 1))])
            try store.run("INSERT INTO t (id, w) VALUES (\(number), 2)")
        }
        let other = try store.makeReader()
        defer { other.close() }
        #expect(try other.prepare(Statement("SELECT count(*) FROM t")).next() == [.integer(4)])
        try store.expectSound()
    }

    @Test("template: a schema that a store refuses is refused")
    func refusesSchema() {
        #expect(throws: StoreError.self) { try StoreTemplate([SchemaFile(path: "schema.sql", text: "CREATE TABLE t (id)")]) }
    }

    @Test("template: tables have guards unless the options say that nobody else can write")
    func guards() throws {
        var guarded = options(1, nil)
        guarded.guardsTables = true
        for (options, count) in [(guarded, true), (options(1, nil), false)] {
            let store = try Store(.memory(name: "template-guards-\(count)"), options: options)
            defer { store.close() }
            _ = try store.applySchema([SchemaFile(path: "schema.sql", text: Self.schema)])
            let guards = try store.text("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%guard%'")
            #expect((guards != ["0"]) == count)
        }
    }
}
