"""Random cases for record_vectors.py: tables, statements and changes of the kinds that cr-sqlite tells apart."""

import random
import sqlite3

LOCAL = "55" * 16
SITES = ["11" * 16, "44" * 16, "66" * 16, "aa" * 16, "ff" * 16]


def encoded(value):
    if value is None:
        return {"t": "null"}
    if isinstance(value, int):
        return {"t": "int", "v": str(value)}
    if isinstance(value, float):
        return {"t": "real", "v": repr(value)}
    if isinstance(value, str):
        return {"t": "text", "v": value}
    return {"t": "blob", "v": value.hex()}


def literal(value):
    """The value in SQL. Zeros have no sign: to cr-sqlite a change of it is none."""
    if value == 0 and isinstance(value, float):
        return "0.0"
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return "x'%s'" % value.hex()
    if isinstance(value, str):
        return "'%s'" % value.replace("'", "''")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "9e999" if value > 0 else "-9e999"
    return repr(value)


class Shape:
    """A table of random cases: key and other columns, each with the values that it takes."""

    ANY = [None, 0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 1.5, -2.5, 2.0**53, float("inf"), float("-inf"),
           "", "a", "ab", "A", "é", "1", "z", b"", b"\x00", b"\xff", b"a", b"ab"]
    NUMBERS = [0, 1, -1, 127, 128, 255, 256, 65535, 2**31, 2**63 - 1, -(2**63)]

    def __init__(self, schema, name, key, columns):
        self.schema, self.name, self.key, self.columns = schema, name, key, columns

    def keys(self, generator):
        return [[generator.choice(values) for _, values in self.key] for _ in range(generator.choice([1, 1, 2, 3]))]


SHAPES = [
    Shape("CREATE TABLE t(id PRIMARY KEY NOT NULL, a, b)", "t",
          [("id", ["k", "j", "", 5, 5.5, b"k", -1, 0, 300])], [("a", Shape.ANY), ("b", Shape.ANY)]),
    Shape("CREATE TABLE pko(x TEXT NOT NULL, y INTEGER NOT NULL, PRIMARY KEY(x,y))", "pko",
          [("x", ["p", "q", ""]), ("y", [0, 1, 128])], []),
    Shape("CREATE TABLE cpk(x TEXT NOT NULL, y INTEGER NOT NULL, z BLOB NOT NULL, v, PRIMARY KEY(y,x,z))", "cpk",
          [("y", [3, -3]), ("x", ["x", ""]), ("z", [b"", b"\x01"])], [("v", Shape.ANY)]),
    Shape("CREATE TABLE ik(id INTEGER PRIMARY KEY NOT NULL, v TEXT)", "ik", [("id", Shape.NUMBERS)], [("v", ["a", "b", "", None])]),
    Shape("CREATE TABLE d(id TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL DEFAULT 7, s TEXT DEFAULT 'dft', r REAL)", "d",
          [("id", ["k", "l"])], [("n", [0, 7, 8, 2**40]), ("s", ["dft", "x", None, ""]), ("r", [None, 0.0, -0.0, 1.0, 1.5])]),
    Shape("CREATE TABLE w(b BLOB NOT NULL, i INTEGER NOT NULL, c TEXT DEFAULT 'c', e BLOB, PRIMARY KEY(b,i)) WITHOUT ROWID", "w",
          [("b", [b"", b"\x00", b"\xff\x00"]), ("i", [1, 200])], [("c", ["c", "d", None]), ("e", [None, b"", b"e"])]),
    Shape('CREATE TABLE o("the key" TEXT PRIMARY KEY NOT NULL, "select" ANY, "é" REAL DEFAULT 1.5) STRICT',
          "o", [("the key", ["k", "é"])], [("select", Shape.ANY), ("é", [None, 1.5, 2.0])]),
]


def quoted(name):
    return '"%s"' % name.replace('"', '""')


class Local:
    """Random statements."""

    def __init__(self, generator, shapes):
        self.generator, self.shapes = generator, shapes
        self.known = {shape.name: shape.keys(generator) for shape in shapes}

    def place(self, shape, key):
        return " AND ".join("%s = %s" % (quoted(name), literal(part)) for (name, _), part in zip(shape.key, key))

    def assignments(self, shape):
        columns = self.generator.sample(shape.columns, self.generator.randint(1, len(shape.columns)))
        return ", ".join("%s = %s" % (quoted(name), literal(self.generator.choice(values))) for name, values in columns)

    def statement(self):
        choice = self.generator.choice
        shape = choice(self.shapes)
        key = choice(self.known[shape.name])
        kind = choice(["insert", "insert", "update", "update", "update", "delete", "replace", "upsert", "key", "ignore", "all", "swap"])
        if not shape.columns and kind in ("update", "upsert", "all"):
            kind = "ignore"
        table = quoted(shape.name)
        written = [(name, part) for (name, _), part in zip(shape.key, key)]
        written += [(name, choice(values)) for name, values in shape.columns if self.generator.random() < 0.8]
        insert = "INTO %s(%s) VALUES(%s)" % (
            table, ", ".join(quoted(name) for name, _ in written), ", ".join(literal(value) for _, value in written))
        if kind == "insert":
            return "INSERT " + insert
        if kind == "ignore":
            return "INSERT OR IGNORE " + insert
        if kind == "replace":
            return "INSERT OR REPLACE " + insert
        if kind == "upsert":
            return "INSERT %s ON CONFLICT DO UPDATE SET %s" % (insert, self.assignments(shape))
        if kind == "update":
            return "UPDATE %s SET %s WHERE %s" % (table, self.assignments(shape), self.place(shape, key))
        if kind == "all":
            return "UPDATE %s SET %s" % (table, self.assignments(shape))
        if kind == "delete":
            return "DELETE FROM %s" % table + ("" if self.generator.random() < 0.2 else " WHERE " + self.place(shape, key))
        parts = [(name, choice(values)) for name, values in shape.key]
        if kind == "swap" and len(self.known[shape.name]) > 1:
            parts = list(zip([name for name, _ in shape.key], choice(self.known[shape.name])))
        else:
            self.known[shape.name].append([part for _, part in parts])
        changes = ", ".join("%s = %s" % (quoted(name), literal(part)) for name, part in parts)
        if shape.columns and self.generator.random() < 0.4:
            changes += ", " + self.assignments(shape)
        action = choice(["UPDATE", "UPDATE", "UPDATE OR REPLACE"])
        return "%s %s SET %s WHERE %s" % (action, table, changes, self.place(shape, key))

    def transaction(self):
        """Statements of one transaction, maybe with savepoints."""
        statements = [self.statement() for _ in range(self.generator.choice([1, 1, 1, 2, 3, 4]))]
        if self.generator.random() < 0.2:
            first = self.generator.randint(0, len(statements) - 1)
            last = self.generator.randint(first + 1, len(statements))
            end = self.generator.choice([["ROLLBACK TO s", "RELEASE s"], ["ROLLBACK TO s"], ["RELEASE s"]])
            statements = statements[:first] + ["SAVEPOINT s"] + statements[first:last] + end + statements[last:]
        return statements


class Cases:
    """Random cases. Half are made of changes as writers make them, half of any."""

    def __init__(self, recorder, seed):
        self.recorder, self.seed = recorder, seed
        self.generator = random.Random(seed)

    def write(self, connection, local, ts):
        """A transaction without statements that fail. Returns it."""
        transaction = []
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT crsql_set_ts(?)", [ts]).fetchall()
        # Statements that fail are found in a trial that is rolled back: a savepoint for each would leave gaps of sequence numbers.
        for statement in local.transaction():
            try:
                connection.execute(statement)
                transaction.append(statement)
            except sqlite3.Error:
                pass
        connection.execute("ROLLBACK")
        try:
            self.recorder.write(connection, transaction, ts)
        except sqlite3.Error:
            return []
        return transaction

    def case(self):
        generator = self.generator
        shapes = generator.sample(SHAPES, generator.choice([1, 1, 1, 2]))
        schema = [shape.schema for shape in shapes]
        case = {
            "name": "random_%s" % self.seed, "note": None, "merge_equal_values": 1 if generator.random() < 0.95 else 0, "schema": schema,
            "local_site": LOCAL, "setup": [], "incoming_txs": [],
        }
        local = Local(generator, shapes)
        incoming = self.written(shapes, local) if generator.random() < 0.6 else self.invented(shapes, local)
        connection = self.recorder.database(schema, LOCAL, case["merge_equal_values"])
        try:
            for number in range(generator.choice([0, 1, 1, 2, 3, 5])):
                if incoming and generator.random() < 0.4:
                    group = incoming.pop(0)
                    try:
                        self.recorder.merge(connection, group)
                        case["setup"].append({"merge_tx": group})
                    except sqlite3.Error:
                        case["incoming_txs"].append(group)
                    continue
                ts = str(11 + number)
                if generator.random() < 0.05:
                    statements = self.alteration(generator.choice(shapes), number)
                    self.recorder.write(connection, statements, None, within=False)
                    case["setup"].append({"local_tx": statements, "ts": None})
                    continue
                transaction = self.write(connection, local, ts)
                if transaction:
                    case["setup"].append({"local_tx": transaction, "ts": ts})
        finally:
            self.recorder.close(connection)
        case["incoming_txs"] += incoming
        return self.recorder.run(case)

    def alteration(self, shape, number):
        """A new column, of which no change of others is made."""
        kind = self.generator.choice(["ANY", "INTEGER DEFAULT 77", "TEXT NOT NULL DEFAULT 'new'"])
        return ["SELECT crsql_begin_alter('%s')" % shape.name, "ALTER TABLE %s ADD COLUMN new%d %s" % (quoted(shape.name), number, kind),
                "SELECT crsql_commit_alter('%s')" % shape.name]

    def written(self, shapes, local):
        """Changes of writers who see each other's, cut and mixed."""
        generator = self.generator
        writers = [(site, self.recorder.database([shape.schema for shape in shapes], site))
                   for site in generator.sample(SITES, generator.choice([1, 2, 2, 3]))]
        pieces = []
        try:
            for number in range(generator.randint(1, 8)):
                site, connection = generator.choice(writers)
                if pieces and generator.random() < 0.3:
                    self.recorder.merge(connection, generator.choice(pieces))
                    continue
                before = connection.execute("SELECT crsql_db_version()").fetchone()[0]
                self.write(connection, local, str(100 + number))
                version = connection.execute("SELECT crsql_db_version()").fetchone()[0]
                if version == before:
                    continue
                group = self.recorder.changes(connection, "WHERE site_id = ? AND db_version = ?", [bytes.fromhex(site), version])
                pieces.append(sorted(group, key=lambda change: change["seq"]))
                if generator.random() < 0.3:
                    first = generator.randint(1, version)
                    group = self.recorder.changes(connection, "WHERE site_id = ? AND db_version = ?", [bytes.fromhex(site), first])
                    pieces.append(sorted(group, key=lambda change: change["seq"]))
        finally:
            for _, connection in writers:
                self.recorder.close(connection)
        result = []
        for piece in pieces:
            if generator.random() < 0.15:
                continue
            if len(piece) > 1 and generator.random() < 0.2:
                cut = generator.randint(1, len(piece) - 1)
                result += [piece[:cut], piece[cut:]]
                if generator.random() < 0.5:
                    result.pop(generator.choice([-1, -2]))
                continue
            if generator.random() < 0.15:
                piece = generator.sample(piece, len(piece))
            result.append(piece)
            if generator.random() < 0.1:
                result.append(piece)
        if generator.random() < 0.6:
            generator.shuffle(result)
        return [piece for piece in result if piece]

    def invented(self, shapes, local):
        """Changes that nobody wrote."""
        generator = self.generator
        groups = []
        for _ in range(generator.randint(1, 5)):
            group = []
            site, version = generator.choice(SITES), generator.randint(1, 9)
            for seq in range(generator.choice([1, 1, 2, 3])):
                shape = generator.choice(shapes)
                key = generator.choice(local.known[shape.name])
                length = generator.choice([1, 1, 1, 2, 2, 3, 3, 4, 5, 6])
                column, values = generator.choice(shape.columns or [("-1", [None])])
                if length % 2 == 0 or generator.random() < 0.15:
                    column, values = "-1", [None]
                version_of_column = generator.choice([1, 1, 2, 2, 3, 5, 0])
                if column == "-1":
                    version_of_column = length
                group.append({
                    "table": shape.name, "pk": self.pack(key), "cid": column, "val": encoded(generator.choice(values)),
                    "col_version": version_of_column, "db_version": version, "site_id": site, "cl": length, "seq": seq,
                    "ts": generator.choice(["100", "100", "99", "0"]),
                })
            if len(group) == 1 and group[0]["cid"] == "-1" and generator.random() < 0.1:
                # Old histories have such. Of another parity the row would be alive and deleted.
                group[0]["col_version"] += 2
            groups.append(group)
        if generator.random() < 0.08:
            self.spoil(generator.choice(groups[-1]))
        return groups

    def spoil(self, change):
        """Makes a change one that cr-sqlite may refuse."""
        kind = self.generator.choice(["table", "column", "long site", "own site"])
        if kind == "table":
            change["table"] = "nope"
        elif kind == "column":
            # One that would win: cr-sqlite looks at no column of the others.
            change.update(cid="nope", cl=9, col_version=9)
        elif kind == "long site":
            change["site_id"] = "ab" * 17
        else:
            change.update(site_id=LOCAL, db_version=50)

    def pack(self, key):
        if not hasattr(self, "packer"):
            self.packer = self.recorder.database([])
        return self.packer.execute("SELECT crsql_pack_columns(%s)" % ", ".join("?" * len(key)), key).fetchone()[0].hex()
