#!/usr/bin/env python3
"""Records what cr-sqlite does, as the cases that Tests/Store/CRSQLiteVectorsTests.swift replays.

    record_vectors.py EXTENSION --random COUNT [--seed N]   random cases, with their outcome
    record_vectors.py EXTENSION --cases FILE                the cases of FILE, with the outcome that they have now
    record_vectors.py EXTENSION --check FILE                compares the outcomes in FILE with those that they have now

EXTENSION is the shared library of cr-sqlite, for this machine; it is not part of this repository. Needs a Python whose sqlite3 module
loads extensions. The first two print a file of vectors.
"""

import argparse
import hashlib
import json
import os
import sqlite3
import sys
import tempfile

import random_vectors

FIELDS = ["table", "pk", "cid", "val", "col_version", "db_version", "site_id", "cl", "seq", "ts"]


def decoded(value):
    kind, text = value["t"], value.get("v", value.get("repeat", "") * value.get("n", 0))
    if kind == "null":
        return None
    return {"int": int, "real": float, "text": str, "blob": bytes.fromhex}[kind](text)


class Recorder:
    """Databases of cr-sqlite with a given site."""

    def __init__(self, extension, directory):
        self.extension = extension
        self.directory = directory
        self.count = 0

    def connect(self, path):
        connection = sqlite3.connect(path, isolation_level=None)
        connection.enable_load_extension(True)
        connection.load_extension(self.extension)
        connection.execute("PRAGMA recursive_triggers = ON")
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def database(self, schema, site=random_vectors.LOCAL, merge_equal_values=1):
        self.count += 1
        path = os.path.join(self.directory, "%d.db" % self.count)
        connection = self.connect(path)
        connection.execute("UPDATE crsql_site_id SET site_id = ? WHERE ordinal = 0", [bytes.fromhex(site)])
        self.close(connection)
        # The site is read when the database is opened.
        connection = self.connect(path)
        connection.execute("SELECT crsql_config_set('merge-equal-values', ?)", [merge_equal_values])
        for statement in schema:
            connection.execute(statement)
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'crsql%'").fetchall():
            if name.startswith("sqlite_") or "__crsql_" in name:
                continue
            connection.execute("SELECT crsql_as_crr(?)", [name])
        return connection

    @staticmethod
    def close(connection):
        connection.execute("SELECT crsql_finalize()")
        connection.close()

    def run(self, case):
        """Fills in what comes of a case."""
        connection = self.database(case["schema"], case["local_site"], case.get("merge_equal_values", 1))
        try:
            for step in case.get("setup") or []:
                if "local_tx" in step:
                    self.write(connection, step["local_tx"], step.get("ts"), "crsql_begin_alter" not in step["local_tx"][0])
                if "merge_tx" in step:
                    self.merge(connection, step["merge_tx"])
            case["before"] = self.dump(connection)
            case["error"], case["rows_impacted"] = None, []
            for group in case["incoming_txs"]:
                try:
                    case["rows_impacted"].append(self.merge(connection, group))
                except sqlite3.Error as error:
                    case["error"] = str(error)
                    break
            case["after"] = self.dump(connection)
        finally:
            self.close(connection)
        return case

    @staticmethod
    def write(connection, statements, ts, within=True):
        """Runs statements, `within` one transaction."""
        if not within:
            for statement in statements:
                connection.execute(statement).fetchall()
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            if ts is not None:
                connection.execute("SELECT crsql_set_ts(?)", [str(ts)]).fetchall()
            for statement in statements:
                connection.execute(statement).fetchall()
        except sqlite3.Error:
            connection.execute("ROLLBACK")
            raise
        if connection.in_transaction:
            connection.execute("COMMIT")

    @staticmethod
    def merge(connection, changes):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                row = [change[field] for field in FIELDS]
                row[1] = bytes.fromhex(row[1])
                row[3] = decoded(row[3])
                row[6] = None if row[6] is None else bytes.fromhex(row[6])
                connection.execute(
                    'INSERT INTO crsql_changes("table", pk, cid, val, col_version, db_version, site_id, cl, seq, ts)'
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            impact = connection.execute("SELECT crsql_rows_impacted()").fetchone()[0]
        except sqlite3.Error:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return impact

    @staticmethod
    def changes(connection, condition="", arguments=()):
        result = []
        for row in connection.execute(
            'SELECT "table", pk, cid, val, col_version, db_version, site_id, cl, seq, ts FROM crsql_changes ' + condition, arguments
        ):
            change = dict(zip(FIELDS, row))
            change["pk"], change["val"], change["site_id"] = row[1].hex(), random_vectors.encoded(row[3]), row[6].hex()
            result.append(change)
        return sorted(result, key=lambda change: [change[field] for field in ("table", "pk", "site_id", "db_version", "seq", "cid")])

    def dump(self, connection):
        rows = {}
        clocks = "SELECT tbl_name FROM sqlite_schema WHERE type = 'table' AND name GLOB '*__crsql_clock'"
        for (name,) in connection.execute(clocks).fetchall():
            name = name.removesuffix("__crsql_clock")
            cursor = connection.execute('SELECT * FROM "%s"' % name)
            columns = [column[0] for column in cursor.description]
            rows[name] = sorted((dict(zip(columns, map(random_vectors.encoded, row))) for row in cursor), key=json.dumps)
        versions = connection.execute("SELECT site_id, db_version FROM crsql_db_versions ORDER BY site_id")
        return {
            "rows": rows,
            "changes": self.changes(connection),
            "db_versions": {site.hex(): version for site, version in versions},
            "crsql_db_version": connection.execute("SELECT crsql_db_version()").fetchone()[0],
        }


def meta(recorder, extension):
    connection = recorder.database([])
    version, commit, sqlite = connection.execute("SELECT crsql_version(), crsql_sha(), sqlite_version()").fetchone()
    recorder.close(connection)
    with open(extension, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return {"generator": "scripts/record_vectors.py", "sha256": digest, "crsql_sha": commit, "crsql_version": version, "sqlite": sqlite,
            "pragmas": ["recursive_triggers=ON"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extension")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--random", type=int, metavar="COUNT")
    action.add_argument("--cases", metavar="FILE")
    action.add_argument("--check", metavar="FILE")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        recorder = Recorder(os.path.abspath(options.extension), directory)
        if options.random:
            cases = []
            for seed in range(options.seed, options.seed + options.random):
                cases.append(random_vectors.Cases(recorder, seed).case())
                for file in os.listdir(directory):
                    os.remove(os.path.join(directory, file))
        else:
            with open(options.cases or options.check, encoding="utf-8") as file:
                cases = json.load(file)["cases"]
            wrong = 0
            for case in cases:
                for state in (case.get("before"), case.get("after")):
                    for rows in state["rows"].values() if state else []:
                        rows.sort(key=json.dumps)
                before = {name: json.dumps(case.get(name), sort_keys=True) for name in ("before", "error", "rows_impacted", "after")}
                recorder.run(case)
                for name, text in before.items():
                    if options.check and text != json.dumps(case[name], sort_keys=True):
                        wrong += 1
                        print("%s: %s is now %s, recorded %s" % (case["name"], name, json.dumps(case[name], sort_keys=True), text))
            if options.check:
                print("%d cases, %d differences" % (len(cases), wrong))
                return 1 if wrong else 0
        lines = ",\n".join(json.dumps(case) for case in cases)
        print('{"meta": %s,\n"cases": [\n%s\n]}' % (json.dumps(meta(recorder, options.extension)), lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
