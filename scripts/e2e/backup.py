"""Backups of live agents and databases restored from them; many writers that share commits, and a kill in their midst."""

import contextlib
import http.client
import json
import sqlite3
import subprocess
import threading

from harness import check, check_equal, wait_for_equal_dumps, wait_until


def write(agent, first, count, node):
    client = agent.client()
    for row in range(first, first + count):
        client.execute(["INSERT INTO rows (id, node, number) VALUES (?, ?, ?)", [row, node, row]])


def ids(agent):
    return [row[0] for row in agent.client().query("SELECT id FROM rows ORDER BY id")]


def own_actor(agent):
    """The actor id of the database file, and the versions of it that the file knows."""
    with contextlib.closing(agent.open()) as connection:
        site = connection.execute("SELECT value FROM __patina_meta WHERE key = 'site'").fetchone()[0]
        actor = connection.execute("SELECT actor FROM __patina_sites WHERE ordinal = ?", [site]).fetchone()[0]
        head = connection.execute(
            "SELECT coalesce(max(id & ((1 << 44) - 1)), 0) FROM __patina_versions WHERE id >> 44 = ?", [site]).fetchone()[0]
    return actor.hex(), head


def test_backup_of_a_live_agent(workspace):
    """A backup beside a busy writer is one consistent file without an identity; an existing file is refused."""
    agent = workspace.cluster(1)[0]
    write(agent, 0, 200, "before")
    stop = threading.Event()
    written = []

    def keep_writing():
        client, row = agent.client(), 10_000
        while not stop.is_set():
            # Both or none: what the backup must not tear apart.
            client.execute(
                ["INSERT INTO rows (id, node) VALUES (?, 'left')", [row]], ["INSERT INTO rows (id, node) VALUES (?, 'right')", [row + 1]])
            written.append(row)
            row += 2

    writer = threading.Thread(target=keep_writing, daemon=True)
    writer.start()
    wait_until(lambda: len(written) > 20, 30, "the writer writes")
    path = workspace.directory / "backup.db"
    try:
        done = json.loads(agent.cli("backup", path, "--json").stdout)
        count = len(written)
        wait_until(lambda: len(written) > count + 20, 30, "the writer goes on")
    finally:
        stop.set()
        writer.join(30)
    check_equal(done["path"], str(path), "path in the answer")
    check_equal(done["bytes"], path.stat().st_size, "bytes in the answer")
    check_equal(sorted(p.name for p in workspace.directory.glob("backup.db*")), ["backup.db"], "files of the backup")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        check_equal(connection.execute("PRAGMA quick_check").fetchall(), [("ok",)], "quick check")
        check_equal(connection.execute("PRAGMA journal_mode").fetchone(), ("delete",), "journal mode")
        counts = dict(connection.execute("SELECT node, count(*) FROM rows GROUP BY node"))
        check_equal(counts["before"], 200, "rows from before")
        check_equal(counts["left"], counts["right"], "halves of transactions")
        check(counts["left"] >= 20, f"only {counts['left']} of the writer's transactions are in the backup")
        check_equal(connection.execute("SELECT count(*) FROM __patina_meta WHERE key = 'site'").fetchone(), (0,), "identity")
        check_equal(connection.execute("SELECT count(*) FROM __patina_members").fetchone(), (0,), "members")
    refused = agent.cli("backup", path, expect=1)
    check("there is a file already" in refused.stderr, f"refusal of an existing file: {refused.stderr}")
    agent.cli("backup", expect=2)
    agent.check_alive("after the backup")


def test_restore_with_the_former_identity(workspace):
    """Backup, more writes, restore with --self-actor-id: the node learns its own writes back, and reuses no version."""
    restore_and_converge(workspace, ["--self-actor-id"], keeps_actor=True)


test_restore_with_the_former_identity.seconds = 180


def test_restore_as_a_new_actor(workspace):
    """Backup, more writes, restore without an identity: no row is lost on peers, and the node writes as somebody new."""
    restore_and_converge(workspace, [], keeps_actor=False)


def restore_and_converge(workspace, options, keeps_actor):
    first, second = workspace.cluster(2)
    write(first, 0, 50, "first")
    write(second, 1_000, 20, "second")
    wait_for_equal_dumps([first, second], 30)
    path = workspace.directory / "backup.db"
    first.cli("backup", path)
    write(first, 100, 30, "later")
    wait_until(lambda: len(ids(second)) == 100, 30, "the peer has what was written after the backup")

    running = first.cli("restore", path, *options, expect=1)
    check("patina is currently running, shut it down before restoring!" in running.stderr, f"refusal while running: {running.stderr}")
    check_equal(len(ids(first)), 100, "rows after the refusal")
    actor, head = own_actor(first)
    code, _ = first.terminate()
    check_equal(code, 0, "exit code")

    with contextlib.closing(first.open()) as reader:
        reader.execute("BEGIN")
        check_equal(reader.execute("SELECT count(*) FROM rows").fetchone(), (100,), "rows that a reader sees before")
        done = json.loads(first.cli("restore", path, *options, "--json").stdout)
        check_equal(reader.execute("SELECT count(*) FROM rows").fetchone(), (100,), "rows that its transaction goes on seeing")
        reader.execute("COMMIT")
        check_equal(reader.execute("SELECT count(*) FROM rows").fetchone(), (70,), "rows that it sees afterwards")
    check_equal(done["actor_id"] is not None, keeps_actor, "an actor id in the answer")
    # Before it can have heard from its peer it has only what was in the backup, and must not take numbers again.
    first.start()
    write(first, 200, 25, "restored")
    restored, _ = own_actor(first)
    check_equal(restored == actor, keeps_actor, "the actor is the former one")
    wait_for_equal_dumps([first, second], 60)
    expected = sorted([*range(50), *range(100, 130), *range(200, 225), *range(1_000, 1_020)])
    for agent in (first, second):
        check_equal(ids(agent), expected, f"rows of {agent.name}")
    if keeps_actor:
        with contextlib.closing(first.open()) as connection:
            numbers = [row[0] for row in connection.execute(
                "SELECT v.id & ((1 << 44) - 1) FROM __patina_versions AS v, __patina_sites AS s WHERE s.ordinal = v.id >> 44 AND s.actor = ?",
                [bytes.fromhex(actor)])]
        check_equal(len(numbers), len(set(numbers)), "distinct versions")
        check(max(numbers) >= head + 25, f"the last version is {max(numbers)}, although {head} were given out before 25 more")
    write(second, 2_000, 5, "second")
    write(first, 300, 5, "restored")
    wait_for_equal_dumps([first, second], 30)


def test_restore_refusals(workspace):
    """What is no backup, or not there, is refused with exit code 1, wrong arguments with 2; the database stays as it is."""
    agent = workspace.cluster(1)[0]
    write(agent, 0, 5, "kept")
    path = workspace.directory / "backup.db"
    agent.cli("backup", path)
    agent.terminate()
    broken = workspace.directory / "broken.db"
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    text = workspace.directory / "text.db"
    text.write_text("hello")
    for wrong in (broken, text, workspace.directory / "nothing.db"):
        refused = agent.cli("restore", wrong, expect=1)
        check(str(wrong) in refused.stderr, f"refusal of {wrong.name}: {refused.stderr}")
    agent.cli("restore", path, "--actor-id", "nobody", expect=2)
    agent.cli("restore", path, "--actor-id", "6c1f8a52-3e0b-4f57-9d44-2b9a7c0e5d13", "--self-actor-id", expect=2)
    agent.start()
    check_equal(ids(agent), [0, 1, 2, 3, 4], "rows")


def piped(agent, *arguments, feed=b"", expect=0):
    """A command of the agent's whose standard input and output are bytes."""
    done = subprocess.run(
        [str(agent.patina), "--config", str(agent.configuration), *map(str, arguments)], input=feed, capture_output=True, timeout=60)
    check_equal(done.returncode, expect, f"exit code of {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace')[-800:]}")
    return done


def test_streams(workspace):
    """A backup goes through a pipe, from the file or from the running agent; a cut or changed stream is refused and changes nothing."""
    agent = workspace.cluster(1)[0]
    write(agent, 0, 300, "first")
    streams = {"file": piped(agent, "backup", "-").stdout, "agent": piped(agent, "backup", "--from-agent", "-").stdout}
    saved = workspace.directory / "from-agent.db"
    answer = json.loads(agent.cli("backup", "--from-agent", saved, "--json").stdout)
    check_equal(answer, {"path": str(saved), "bytes": saved.stat().st_size}, "answer of backup --from-agent")
    with contextlib.closing(sqlite3.connect(f"file:{saved}?mode=ro", uri=True)) as connection:
        check_equal(connection.execute("SELECT count(*) FROM rows").fetchone(), (300,), "rows of the copy that the agent sent")
    check("there is a file already" in agent.cli("backup", "--from-agent", saved, expect=1).stderr, "an existing file is replaced")
    piped(agent, "backup", "-", "--json", expect=2)
    write(agent, 1_000, 10, "later")
    check_equal(
        sorted(path.name for path in agent.directory.glob("*.snapshot*")), [], "files that taking snapshots left beside the database")

    running = piped(agent, "restore", "-", feed=streams["file"], expect=1).stderr.decode()
    check("patina is currently running" in running, f"refusal while running: {running}")
    agent.terminate()
    gone = piped(agent, "backup", "--from-agent", "-", expect=1).stderr.decode()
    check("no agent answers" in gone, f"no agent: {gone}")
    whole = streams["file"]
    changed = whole[:-5_000] + bytes([whole[-5_000] ^ 1]) + whole[-4_999:]
    for what, wrong in {
        "nothing": b"", "a part of the header": whole[:30], "half": whole[: len(whole) // 2], "all but a byte": whole[:-1],
        "a byte too many": whole + b"x", "a changed bit": changed, "a bare database": whole[48:],
    }.items():
        refused = piped(agent, "restore", "-", feed=wrong, expect=1).stderr.decode()
        check("the snapshot is damaged" in refused, f"refusal of {what}: {refused}")
    check_equal(sorted(path.name for path in agent.directory.glob("*.received*")), [], "files that refused streams left")
    with contextlib.closing(agent.open()) as connection:
        check_equal(connection.execute("SELECT count(*) FROM rows").fetchone(), (310,), "rows after the refusals")
    stored = workspace.directory / "stored.snapshot"
    stored.write_bytes(streams["agent"])
    agent.cli("restore", stored, "--self-actor-id")
    agent.start()
    check_equal(len(ids(agent)), 300, "rows from the agent's own stream")
    agent.terminate()
    piped(agent, "restore", "-", feed=streams["file"])
    agent.start()
    check_equal(len(ids(agent)), 300, "rows from the file's stream")


def test_group_commit_under_sigkill(workspace):
    """64 clients with synchronous = full, one of them always refused; killed in the midst, every answered write is there, in order."""
    agent = workspace.cluster(1)[0]
    agent.terminate()
    agent.configuration.write_text(agent.configuration.read_text().replace("[api]", 'synchronous = "full"\n[api]'))
    agent.start()
    check("synchronous" not in agent.log_text().lower().split("agent ready")[-1], "synchronous = full is warned of")
    client = agent.client()
    client.execute("INSERT INTO rows (id) VALUES (-1)")
    acknowledged, versions, problems = [[] for _ in range(64)], [], []
    stop = threading.Event()

    def run(number):
        client, row = agent.client(), number * 100_000
        while not stop.is_set():
            statement = ["INSERT INTO rows (id, node) VALUES (?, ?)", [-1 if number == 7 else row, str(number)]]
            try:
                answer = client.transact([statement])
            except (OSError, http.client.HTTPException):
                return
            if number == 7:
                if answer.status == 200:
                    problems.append("a row that was there already was inserted")
                continue
            if answer.status != 200:
                problems.append(f"client {number}: {answer.status} {answer.text[:200]}")
                return
            acknowledged[number].append(row)
            versions.append(answer.json.get("version"))
            row += 1

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(64)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: sum(map(len, acknowledged)) > 1_000 or problems, 60, "a thousand transactions are committed")
        agent.kill()
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    check(not problems, f"{len(problems)} problems, first: {problems[:1]}")
    numbers = [version for version in versions if version is not None]
    check_equal(len(numbers), len(set(numbers)), "distinct versions")
    agent.start()
    present = set(ids(agent))
    missing = [row for rows in acknowledged for row in rows if row not in present]
    check(not missing, f"{len(missing)} acknowledged rows are gone, first {missing[:3]}")
    check(all(acknowledged[number] for number in range(64) if number != 7), "a client was starved")
    _, head = own_actor(agent)
    client = agent.client()
    client.execute("INSERT INTO rows (id) VALUES (-2)")
    _, after = own_actor(agent)
    check(after > head, f"the version after the kill is {after}, the last before was {head}")


test_restore_as_a_new_actor.seconds = 180
test_group_commit_under_sigkill.seconds = 180
