"""Checks of database files, schema files that are read again, and what waits for a schema."""

import contextlib
import json
import sqlite3

from harness import SCHEMA, check, check_equal, wait_for_equal_dumps, wait_until

GUARD = "this_table_is_replicated_and_written_only_through_patina"


def filled_database(workspace):
    """A database with rows, deletions and overwritten versions, whose agent has ended."""
    agent = workspace.cluster(1)[0]
    client = agent.client()
    for row in range(60):
        client.execute(["INSERT INTO rows (id, node, number) VALUES (?, 'here', ?)", [row, row]])
    client.execute("UPDATE rows SET number = number + 1 WHERE id % 3 = 0", "DELETE FROM rows WHERE id % 5 = 0")
    client.close()
    agent.terminate()
    return agent


def damage(agent, name, *statements):
    """A copy of the database that somebody wrote to, past the guards."""
    path = agent.directory / f"{name}.db"
    with contextlib.closing(agent.open()) as source, contextlib.closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        copy.create_function(GUARD, -1, lambda *_: 0, deterministic=True)
        for statement in statements:
            copy.execute(statement)
        copy.commit()
        copy.execute("PRAGMA journal_mode = DELETE")
    return path


def test_db_check_of_sound_and_damaged_files(workspace):
    """`patina db check` accepts a sound file with 0, lists every violation of a damaged one with 1, and says 2 where it cannot judge."""
    agent = filled_database(workspace)
    sound = agent.cli("db", "check", agent.database)
    check("sound" in sound.stdout, f"answer for a sound file: {sound.stdout}")
    report = json.loads(agent.cli("db", "check", "--json", agent.database).stdout)
    check_equal((report["valid"], report["violations"], report["head"]), (True, [], 61), "report of a sound file")
    cases = {
        "clocks": (["UPDATE __patina_versions SET clocks = NULL WHERE id & 0xFFFF = 8"], ["has no clock record"]),
        "tombstone": (["INSERT INTO rows__patina_tombstone VALUES (x'010963', 3, 0, 61, 0)"], ["has the causal length 3"]),
        "row": (["DELETE FROM rows WHERE id = 7"], ["clock records without a row"]),
        "version": (["DELETE FROM __patina_versions WHERE id & 0xFFFF = 8"], ["has no clock record"]),
        "keys": (["UPDATE __patina_versions SET keys = x'' WHERE id & 0xFFFF = 9"], ["missing in the key list"]),
        "several": (
            ["INSERT INTO rows__patina_tombstone VALUES (x'010963', 3, 0, 61, 0)",
             "UPDATE __patina_versions SET keys = x'01ff' WHERE id & 0xFFFF = 9"],
            ["has the causal length 3", "is damaged"]),
    }
    for name, (statements, words) in cases.items():
        path = damage(agent, name, *statements)
        answer = agent.cli("db", "check", path, expect=1)
        for word in words:
            check(word in answer.stdout, f"{name}: no line with {word!r} in\n{answer.stdout}")
        listed = json.loads(agent.cli("db", "check", "--json", path, expect=1).stdout)
        check_equal(listed["valid"], False, f"{name}: valid")
        check_equal(listed["violations"], answer.stdout.splitlines(), f"{name}: violations")
    # A page in the middle that is not what it was: SQLite's own check is among the lines.
    torn = damage(agent, "torn")
    content = bytearray(torn.read_bytes())
    with contextlib.closing(sqlite3.connect(torn)) as copy:
        root = copy.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'rows_node'").fetchone()[0]
    content[(root - 1) * 4096 + 8:root * 4096] = b"\x5a" * 4088
    torn.write_bytes(content)
    answer = agent.cli("db", "check", torn, expect=1)
    check(answer.stdout.startswith("sqlite: "), f"a torn page: {answer.stdout}")
    # No database at all, and none of ours.
    text = agent.directory / "text.db"
    text.write_text("not a database, " * 500)
    plain = agent.directory / "plain.db"
    with contextlib.closing(sqlite3.connect(plain)) as connection:
        connection.execute("CREATE TABLE t (a)")
    for path in (text, plain, agent.directory / "missing.db"):
        check(str(path) in agent.cli("db", "check", path, expect=2).stderr, f"{path}: no reason")
    check(not (agent.directory / "missing.db").exists(), "a check made a file")


def test_reload_of_schema_files(workspace):
    """New columns are applied; destructive changes are refused with file and line unless allowed; a broken file changes nothing."""
    agent = workspace.cluster(1)[0]
    agent.client().execute("INSERT INTO rows (id, payload) VALUES (1, 'kept')")
    schema = agent.directory / "schema.sql"
    wider = SCHEMA.replace("    payload TEXT", "    extra TEXT DEFAULT 'dft',\n    payload TEXT")
    schema.write_text(wider)
    answer = agent.cli("reload")
    check("added columns: rows.extra" in answer.stdout, f"a column added: {answer.stdout}{answer.stderr}")
    check_equal(agent.client().query("SELECT extra, payload FROM rows"), [["dft", "kept"]], "the row after the reload")
    check("nothing changed" in agent.cli("reload").stdout, "a reload of the same files")
    # The column goes: line 2 begins the table that lacks it.
    schema.write_text(wider.replace("    payload TEXT NOT NULL DEFAULT ''\n", "").replace("'dft',", "'dft'"))
    refused = agent.cli("reload", expect=1)
    check(f"{schema}:2" in refused.stderr and "payload" in refused.stderr, f"refusal: {refused.stderr}")
    check_equal(agent.client().query("SELECT payload FROM rows"), [["kept"]], "the column after the refusal")
    allowed = agent.cli("reload", "--allow-destructive")
    check("dropped columns: rows.payload" in allowed.stdout, f"a column dropped: {allowed.stdout}")
    check("no such column" in agent.client().request("POST", "/v1/queries", json.dumps("SELECT payload FROM rows")).text, "it is gone")
    schema.write_text(SCHEMA + "\nCREATE TABLE broken (id INTEGER PRIMARY KEY,\n    name TEXT NOT NULL);\n")
    broken = agent.cli("reload", expect=1)
    check(f"{schema}:" in broken.stderr and "broken" in broken.stderr, f"a table that cannot be: {broken.stderr}")
    agent.check_alive("after the reloads")


def test_versions_that_wait_for_a_schema_are_counted(workspace):
    """A peer's writes to a column that is not here yet wait, show in the health answer, and apply when the schema comes."""
    first, second = workspace.cluster(2)
    wider = SCHEMA.replace("    payload TEXT", "    extra TEXT DEFAULT 'dft',\n    payload TEXT")
    (first.directory / "schema.sql").write_text(wider)
    first.cli("reload")
    first.client().execute("INSERT INTO rows (id, extra) VALUES (1, 'new')")

    def waiting():
        return second.client().request("GET", "/v1/health").json["response"]["waiting_for_schema"]

    wait_until(lambda: waiting() == 1, 20, "the version waits")
    check_equal(second.client().query("SELECT id FROM rows"), [], "rows before the schema")
    (second.directory / "schema.sql").write_text(wider)
    second.cli("reload")
    wait_until(lambda: waiting() == 0, 20, "nothing waits any more")
    check_equal(second.client().query("SELECT id, extra FROM rows"), [[1, "new"]], "rows after the schema")
    wait_for_equal_dumps([first, second], 20)
