"""The command line: help, versions, formats, exit codes."""

import re
import ssl
import time

from harness import Authority, check, check_equal, free_ports, run

COMMANDS = [
    [], ["agent"], ["query"], ["exec"], ["cluster"], ["cluster", "members"], ["backup"], ["restore"], ["tls"], ["tls", "ca"],
    ["tls", "ca", "generate"],
    ["tls", "server"], ["tls", "server", "generate"], ["tls", "client"], ["tls", "client", "generate"], ["sim"], ["sim", "run"], ["dev"],
    ["dev", "cluster"], ["dev", "demo"],
]


def test_help(workspace):
    """Every command explains itself, and every option that its help lists has a description."""
    for command in COMMANDS:
        done = run([workspace.patina, *command, "--help"], expect=0)
        check("USAGE: patina" in done.stdout and "OVERVIEW:" in done.stdout, f"help of {command}: {done.stdout[:300]}")
        lines = done.stdout.splitlines()
        for index, line in enumerate(lines):
            bare = re.fullmatch(r"  ((-\w, )?--[\w-]+( <[\w-]+>)?|<[\w-]+>( \.\.\.)?)", line)
            following = lines[index + 1] if index + 1 < len(lines) else ""
            check(not bare or following.startswith("          "), f"help of {command} says nothing about {line.strip()}")
    version = run([workspace.patina, "--version"]).stdout
    check(re.fullmatch(r"(patina )?\d+\.\d+\.\d+\S*\n", version), f"version: {version!r}")


def test_bad_arguments(workspace):
    """Unknown commands, unknown options and missing arguments: exit 2, a message on stderr, nothing on stdout."""
    for arguments in (
        ["qeury", "SELECT 1"], ["query"], ["query", "--nothing", "SELECT 1"], ["query", "SELECT 1", "--timeout", "soon"], ["sim"],
        ["cluster", "nothing"], ["tls", "server", "generate"], ["tls", "server", "generate", "not-an-address"], ["sim", "run"],
        ["dev", "cluster", "-n", "0"], ["dev", "cluster", "-n", "many"], ["--api-addr", "nowhere", "query", "SELECT 1"],
    ):
        done = run([workspace.patina, *arguments], expect=2, timeout=20)
        check(done.stderr.strip() and not done.stdout, f"{arguments}: stdout {done.stdout[:200]!r}, stderr {done.stderr[:200]!r}")
    done = run([workspace.patina, "qeury", "SELECT 1"], expect=2)
    check("query" in done.stderr, f"a misspelt command gets no suggestion: {done.stderr}")


def test_query_and_exec(workspace):
    """Rows joined by bars, headers, timers, parameters, NULL and blobs; errors on stderr with exit code 1."""
    (agent,) = workspace.cluster(1)
    done = agent.cli("exec", "INSERT INTO rows (id, node, payload) VALUES (1, ?, ?)", "--param", "a|b", "--param", "text")
    check("Rows affected: 1" in done.stdout, f"exec: {done.stdout!r}")
    done = agent.cli("exec", "INSERT INTO shared (name, value, ratio, data) VALUES ('n', NULL, 2.5, x'00ff41')", "--timer")
    check(re.search(r"^Run Time: real \S+", done.stdout, re.MULTILINE), f"exec --timer: {done.stdout!r}")
    agent.client().execute(["INSERT INTO shared (name, value, ratio) VALUES (?, ?, ?)", ["whole", -7, 3.0]])

    check_equal(agent.cli("query", "SELECT id, node, payload FROM rows").stdout, "1|a|b|text\n", "query")
    rows = agent.cli("query", "SELECT * FROM shared ORDER BY name", "--columns").stdout
    check_equal(rows, "name|value|ratio|data\nn||2.5|x'00ff41'\nwhole|-7|3|\n", "query --columns")
    timed = agent.cli("query", "SELECT 1", "--timer").stdout.splitlines()
    check(timed[0] == "1" and re.fullmatch(r"time: [0-9.e-]+s", timed[-1]), f"query --timer: {timed}")
    check_equal(agent.cli("query", "SELECT node FROM rows WHERE payload = ?", "--param", "text").stdout, "a|b\n", "query --param")
    check_equal(agent.cli("query", "SELECT count(*) FROM rows WHERE id = ?", "--param", "1").stdout, "1\n", "a parameter, with affinity")
    direct = run([workspace.patina, "--api-addr", f"127.0.0.1:{agent.api_port}", "query", "SELECT 42"]).stdout
    check_equal(direct, "42\n", "query with --api-addr and no configuration")

    for command in (["query", "SELECT * FROM nothing"], ["query", "DELETE FROM rows"], ["exec", "INSERT INTO nothing VALUES (1)"]):
        done = agent.cli(*command, expect=1)
        check(done.stderr.strip() and not done.stdout, f"{command}: stdout {done.stdout!r}, stderr {done.stderr!r}")
    done = run([workspace.patina, "--config", workspace.directory / "none.toml", "query", "SELECT 1"], expect=1)
    check("none.toml" in done.stderr, f"a missing configuration: {done.stderr}")
    (port,) = free_ports(1)
    done = run([workspace.patina, "--api-addr", f"127.0.0.1:{port}", "query", "SELECT 1"], expect=1, timeout=40)
    check(str(port) in done.stderr, f"nobody listens: {done.stderr}")


def test_query_streams(workspace):
    """A long answer is printed as it comes, and a query can be given a time limit."""
    (agent,) = workspace.cluster(1)
    agent.client().execute(*[["INSERT INTO rows (id) VALUES (?)", [row]] for row in range(1000)])
    done = agent.cli("query", "SELECT a.id, b.id FROM rows a, rows b", timeout=60)
    check_equal(done.stdout.count("\n"), 1_000_000, "lines of a million rows")
    began = time.monotonic()
    done = agent.cli("query", "SELECT count(*) FROM rows a, rows b, rows c, rows d", "--timeout", "1", expect=1, timeout=60)
    check(time.monotonic() - began < 15, "a time limit of 1 s took more than 15 s")
    check("interrupt" in done.stderr.lower() or "time" in done.stderr.lower(), f"a query over its time: {done.stderr}")


def test_cluster_members(workspace):
    """`cluster members` prints one JSON object per member, each with its identity and address."""
    agents = workspace.cluster(3)
    for agent in agents:
        members = agent.members()
        check(len(members) >= 2, f"{agent.name} lists {members}")
        addresses = {member["state"]["addr"] for member in members}
        for other in agents:
            if other is not agent:
                check(f"127.0.0.1:{other.gossip_port}" in addresses, f"{agent.name} does not list {other.name}: {addresses}")
        for member in members:
            check(re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", member["id"]), f"a member's id is {member['id']!r}")
    agents[0].terminate()
    done = agents[0].cli("cluster", "members", expect=1)
    check("admin.sock" in done.stderr, f"no agent behind the socket: {done.stderr}")


def test_certificates(workspace):
    """`tls` writes certificates that another implementation of TLS accepts, with private keys that only the owner may read."""
    authority = Authority(workspace.patina, workspace.directory / "authority")
    issued = workspace.directory / "issued"
    issued.mkdir()
    authority.issue(issued)
    for folder, name in ((authority.directory, "ca"), (issued, "server"), (issued, "client")):
        mode = (folder / f"{name}_key.pem").stat().st_mode & 0o777
        check_equal(oct(mode), oct(0o600), f"permissions of {name}_key.pem")

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued / "server_cert.pem", issued / "server_key.pem")
    server.load_verify_locations(authority.directory / "ca_cert.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(authority.directory / "ca_cert.pem"))
    client.load_cert_chain(issued / "client_cert.pem", issued / "client_key.pem")
    handshake(server, client, "127.0.0.1")
    try:
        handshake(server, client, "127.0.0.2")
    except ssl.SSLCertVerificationError:
        pass
    else:
        check(False, "the server's certificate is accepted for an address that it was not made for")

    again = run([workspace.patina, "tls", "ca", "generate"], cwd=authority.directory, expect=1)
    check("ca_" in again.stderr, f"an existing authority is overwritten without a word: {again.stderr!r}")
    missing = run([workspace.patina, "tls", "client", "generate", "--ca-key", "none.pem", "--ca-cert", "none.pem"], expect=1)
    check("none.pem" in missing.stderr, f"a missing authority: {missing.stderr!r}")


def handshake(server, client, name):
    """A TLS handshake in memory, both sides checking the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server, server_hostname=name)
    pending = [client_side, server_side]
    for _ in range(20):
        for side in list(pending):
            try:
                side.do_handshake()
                pending.remove(side)
            except ssl.SSLWantReadError:
                pass
        if not pending:
            return
    raise AssertionError("the handshake does not end")
