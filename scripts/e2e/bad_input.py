"""Bad input: a clear message and the right status or exit code, and the agent keeps running where it should."""

import http.client
import json
import os
import socket
import threading
import time

from harness import Agent, check, check_equal, free_ports, run, wait_until

MEGABYTE = 1_000_000


def expect_error(answer, status, what, *words):
    """The status, and a text that names what is wrong."""
    check_equal(answer.status, status, f"{what} ({answer.text[:200]!r})")
    for word in words:
        check(word.lower() in answer.text.lower(), f"{what}: the answer does not say {word!r}: {answer.text[:300]!r}")


def test_http(workspace):
    """Requests that are malformed in every way that a client manages: 4xx or 500 with a text, and the next request is served."""
    (agent,) = workspace.cluster(1)
    client = agent.client()
    transactions, queries = "/v1/transactions", "/v1/queries"

    for path in (transactions, queries):
        expect_error(client.request("POST", path, b'["SELECT 1"'), 400, f"{path}: cut-off JSON")
        expect_error(client.request("POST", path, b"\xff\xfe\x00"), 400, f"{path}: bytes that are no JSON")
        expect_error(client.request("POST", path, b""), 400, f"{path}: an empty body")
        expect_error(client.request("POST", path, b'{"a": 1}'), 422, f"{path}: JSON of the wrong shape")
        expect_error(client.request("POST", path, b'"SELECT 1"', content_type="text/plain"), 415, f"{path}: content type text/plain")
        expect_error(client.request("POST", path, b'"SELECT 1"', content_type=None), 415, f"{path}: no content type")
        expect_error(client.request("GET", path), 405, f"{path}: wrong method")
    expect_error(client.request("GET", "/v1/nothing"), 404, "an unknown path")
    expect_error(client.transact([]), 400, "no statements", "at least 1 statement is required")
    expect_error(client.transact([["SELECT ?", [{"a": {"b": 1}}], 3, 4]]), 422, "a statement of four elements")
    expect_error(client.request("POST", transactions, b"[" * 100_000), 422, "JSON that nests 100,000 deep")
    expect_error(client.transact(["INSERT INTO absent (id) VALUES (1)"]), 500, "an unknown table", "no such table", "absent")
    expect_error(client.transact(["INSERT INTO rows (nothing) VALUES (1)"]), 500, "an unknown column", "nothing")
    expect_error(client.transact(["INSERT INTO rows (id) VALUES (1)", "INSERT INTO"]), 500, "a syntax error")
    expect_error(client.request("POST", queries, b'"SELECT * FROM absent"'), 400, "a query of an unknown table", "no such table")
    expect_error(client.request("POST", queries, b'"DELETE FROM rows"'), 400, "a query that writes", "readonly")
    expect_error(client.request("POST", queries + "?timeout=soon", b'"SELECT 1"'), 400, "a timeout that is no number")
    expect_error(client.request("GET", "/v1/health?gaps=many"), 400, "a health limit that is no number")
    expect_error(client.transact([["INSERT INTO rows (id) VALUES (?, ?)", [1]]]), 500, "too few parameters")
    check_equal(client.scalar("SELECT count(*) FROM rows"), 0, "rows after only failed transactions")

    with socket.create_connection(("127.0.0.1", agent.api_port)) as raw:
        raw.settimeout(10)
        raw.sendall(os.urandom(4096).replace(b"\n", b"x") + b"\r\n\r\n")
        data = raw.recv(4096)
        check(data == b"" or b" 400 " in data.split(b"\r\n")[0], f"random bytes are answered with {data[:80]!r}")
    client.execute("INSERT INTO rows (id) VALUES (1)")
    check_equal(client.scalar("SELECT count(*) FROM rows"), 1, "rows after a good transaction")
    agent.check_alive("after bad requests")


def send_large_body(agent, megabytes, chunked):
    """Sends a body of that size and returns the status, or None when the connection was cut without an answer."""
    block = b'"' + b"x" * (MEGABYTE - 1)
    with socket.create_connection(("127.0.0.1", agent.api_port)) as raw:
        raw.settimeout(60)
        length = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % (megabytes * MEGABYTE)
        raw.sendall(b"POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" + length + b"\r\n\r\n")
        try:
            for _ in range(megabytes):
                raw.sendall(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
            if chunked:
                raw.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # refused before the end: the answer, if any, is waiting
        try:
            line = raw.recv(4096).split(b"\r\n")[0]
        except OSError:
            return None
        return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else None


def test_large_body(workspace):
    """A body of 300 MB is refused with 413, announced or not, without filling the memory, and the agent serves on."""
    (agent,) = workspace.cluster(1)
    before = agent.resident_bytes()
    peak, stop = [before], threading.Event()

    def watch():
        while not stop.is_set():
            peak.append(agent.resident_bytes())
            time.sleep(0.05)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for chunked in (False, True):
        status = send_large_body(agent, 300, chunked)
        kind = "chunked" if chunked else "with its length announced"
        check_equal(status, 413, f"status of a 300 MB body, {kind}")
        agent.check_alive(f"after a 300 MB body, {kind}")
    stop.set()
    watcher.join()
    grown = (max(peak) - before) / MEGABYTE
    check(grown < 290, f"the agent grew by {grown:.0f} MB while it refused the body")
    agent.client().execute("INSERT INTO rows (id) VALUES (1)")


def test_garbage_to_the_gossip_port(workspace):
    """Random datagrams, bare and dressed as QUIC packets, change nothing: the cluster replicates on."""
    agents = workspace.cluster(2, workspace.authority())
    random = workspace.random
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for index in range(5000):
            body = bytearray(random.randbytes(random.choice([0, 1, 7, 20, 60, 300, 1200, 1452, 9000])))
            if index % 3 == 0 and len(body) > 20:
                # A long header: an Initial, 0-RTT, Handshake or Retry packet of QUIC version 1, or of a version that nobody speaks.
                body[0] = 0xC0 | random.randrange(64)
                body[1:5] = random.choice([b"\x00\x00\x00\x01", b"\x00\x00\x00\x00", b"\x6b\x33\x43\xcf", b"\xba\xba\xba\xba"])
                body[5] = random.choice([0, 8, 20, 255])
            sender.sendto(body, ("127.0.0.1", agents[index % 2].gossip_port))
            if index % 500 == 499:
                time.sleep(0.05)
    for agent in agents:
        agent.check_alive("after garbage")
    agents[0].client().execute("INSERT INTO rows (id) VALUES (1)")
    wait_until(lambda: agents[1].client().query("SELECT id FROM rows") == [[1]], 10, "replication after garbage")
    workspace.wait_for_members(agents)


def start_expecting_failure(agent, what, *words):
    """Starts an agent that must exit 1 by itself and say why."""
    agent.start(wait=False)
    began = time.monotonic()
    while agent.process.poll() is None and time.monotonic() - began < 15:
        time.sleep(0.05)
    check(agent.process.poll() is not None, f"{what}: the agent still runs after 15 s\n{agent.log_end()}")
    check_equal(agent.process.returncode, 1, f"{what}: exit code\n{agent.log_end()}")
    for word in words:
        check(word.lower() in agent.log_text().lower(), f"{what}: the output does not say {word!r}\n{agent.log_end()}")
    check("Fatal error" not in agent.log_text(), f"{what}: the agent crashed\n{agent.log_end()}")


def test_damaged_database(workspace):
    """A truncated file, and a file that never was a database: exit 1 and a message that names the file."""
    for number, damage in enumerate((
        lambda data: data[: len(data) // 2 // 512 * 512],
        lambda data: data[: len(data) // 2 + 77],
        lambda data: data[:100],
        lambda data: b"this is no database\n" * 1000,
    )):
        agent = Agent(workspace, f"node-{number}").start()
        statements = [["INSERT INTO rows (id, payload) VALUES (?, ?)", [row, "p" * 200]] for row in range(2000)]
        agent.client().execute(*statements)
        check_equal(agent.terminate()[0], 0, "exit code of the first run")
        for extra in ("-wal", "-shm"):
            path = agent.database.with_name(agent.database.name + extra)
            if path.exists():
                path.unlink()
        agent.database.write_bytes(damage(agent.database.read_bytes()))
        agent.log.unlink()
        start_expecting_failure(agent, f"damage {number}", agent.database.name)


def test_configuration(workspace):
    """A configuration without required keys, with a wrong type, that is no TOML, or that is not there: exit 1, naming key or file."""
    agent = Agent(workspace, "node")
    whole = agent.configuration.read_text()
    cases = [
        ("db.path", whole.replace(f'path = "{agent.database}"\n', "", 1), ["db.path"]),
        ("api.bind_addr", whole.replace(f'bind_addr = "127.0.0.1:{agent.api_port}"\n', ""), ["api.bind_addr"]),
        ("gossip.bind_addr", whole.replace(f'bind_addr = "127.0.0.1:{agent.gossip_port}"\n', ""), ["gossip.bind_addr"]),
        ("security", whole.replace("plaintext = true\n", ""), ["plaintext", "tls"]),
        ("an address that is none", whole.replace(f"127.0.0.1:{agent.gossip_port}", "nowhere"), ["gossip.bind_addr", "nowhere"]),
        ("a wrong type", whole.replace("colors = false", 'colors = "perhaps"'), ["log.colors"]),
        ("no TOML", "[db\npath = 3", [str(agent.configuration.name)]),
        ("empty", "", ["db.path"]),
    ]
    for what, text, words in cases:
        check(text != whole, f"{what}: the case changes nothing")
        agent.configuration.write_text(text)
        agent.log.unlink(missing_ok=True)
        start_expecting_failure(agent, what, *words)
    agent.configuration.unlink()
    agent.log.unlink()
    start_expecting_failure(agent, "no file", "config.toml")


def test_missing_certificate(workspace):
    """Certificate files that are not there, or hold something else: exit 1, naming the file."""
    agent = Agent(workspace, "node", authority=workspace.authority())
    certificate = agent.directory / "server_cert.pem"
    certificate.write_text("-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n")
    start_expecting_failure(agent, "a certificate that is none", "server_cert.pem")
    certificate.unlink()
    agent.log.unlink()
    start_expecting_failure(agent, "a certificate that is not there", "server_cert.pem")


def test_busy_ports(workspace):
    """The API port or the gossip port belongs to another process: exit 1 and a message that names the address."""
    agent = Agent(workspace, "node")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as busy:
        busy.bind(("127.0.0.1", agent.api_port))
        busy.listen()
        start_expecting_failure(agent, "busy API port", f"127.0.0.1:{agent.api_port}")
    agent.log.unlink()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as busy:
        busy.bind(("127.0.0.1", agent.gossip_port))
        start_expecting_failure(agent, "busy gossip port", f"127.0.0.1:{agent.gossip_port}")
    agent.log.unlink()
    agent.start()
    agent.check_alive("after the ports are free")


def test_database_in_use(workspace):
    """A second agent on the same database does not start, and the first one does not notice."""
    first = Agent(workspace, "first").start()
    second = Agent(workspace, "second")
    second.configuration.write_text(second.configuration.read_text().replace(str(second.database), str(first.database)))
    start_expecting_failure(second, "a database in use", first.database.name)
    first.check_alive("beside a second agent on its database")
    first.client().execute("INSERT INTO rows (id) VALUES (1)")


def test_foreign_writer(workspace):
    """Another process that writes to the database file is stopped by SQLite, not by luck; reading is free."""
    (agent,) = workspace.cluster(1)
    agent.client().execute(["INSERT INTO rows (id, node) VALUES (?, ?)", [1, "agent"]])
    script = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute('SELECT node FROM rows').fetchall())
connection.execute("INSERT INTO rows (id, node) VALUES (2, 'foreign')")
connection.commit()
"""
    done = run(["python3", "-c", script, agent.database], expect=1)
    check("[('agent',)]" in done.stdout, f"reading from another process: {done.stdout} {done.stderr}")
    check_equal(agent.client().query("SELECT id FROM rows"), [[1]], "rows after the foreign writer")


def test_peer_that_vanishes(workspace):
    """A client that breaks off in the middle of its request or of its answer leaves nothing locked."""
    (agent,) = workspace.cluster(1)
    agent.client().execute(*[["INSERT INTO rows (id, payload) VALUES (?, ?)", [row, "z" * 500]] for row in range(3000)])
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", agent.api_port)) as raw:
            raw.sendall(b"POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n[")
        body = json.dumps("SELECT a.id, a.payload FROM rows a, rows b LIMIT 200000").encode()
        with socket.create_connection(("127.0.0.1", agent.api_port)) as raw:
            raw.sendall(
                b"POST /v1/queries HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            raw.recv(1000)
    began = time.monotonic()
    agent.client().execute("UPDATE rows SET number = 1 WHERE id = 5")
    check_equal(agent.client().scalar("SELECT count(*) FROM rows WHERE number = 1"), 1, "rows after broken-off clients")
    check(time.monotonic() - began < 5, "the agent is slow after broken-off clients")
