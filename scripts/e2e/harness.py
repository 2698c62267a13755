"""What the end-to-end tests share: agents as child processes, real clients, free ports, certificates, and a clean end.

Everything here uses Python's standard library only, talks to loopback only, and kills what it started.
"""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

SCHEMA = """
CREATE TABLE rows (
    id INTEGER NOT NULL PRIMARY KEY,
    node TEXT NOT NULL DEFAULT '',
    number INTEGER NOT NULL DEFAULT 0,
    payload TEXT NOT NULL DEFAULT ''
);
CREATE TABLE shared (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER,
    ratio REAL,
    data BLOB
);
CREATE INDEX rows_node ON rows (node);
"""


class Failure(Exception):
    """A test found that something does not hold."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(found, expected, what):
    check(found == expected, f"{what}: expected {expected!r}, found {found!r}")


def free_ports(count):
    """Ports that nobody uses now, for TCP and UDP alike. All are held until all are found, so that they differ."""
    held, ports = [], []
    try:
        while len(ports) < count:
            stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(stream)
            stream.bind(("127.0.0.1", 0))
            port = stream.getsockname()[1]
            datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            held.append(datagram)
            try:
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    finally:
        for each in held:
            each.close()
    return ports


def wait_until(condition, seconds, what, pause=0.05):
    """Waits until the condition returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Failure(f"after {seconds} s, still not so: {what}")
        time.sleep(pause)


class Answer:
    """One HTTP answer, read to its end."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line]


class Client:
    """An HTTP/1.1 client that keeps its connection."""

    def __init__(self, port, timeout=30):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def request(self, method, path, body=None, content_type="application/json"):
        headers = {} if body is None or content_type is None else {"content-type": content_type}
        try:
            self.connection.request(method, path, body=body, headers=headers)
            answer = self.connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def transact(self, statements):
        return self.request("POST", "/v1/transactions", json.dumps(statements).encode())

    def execute(self, *statements):
        """Runs a transaction that must succeed and returns the parsed answer."""
        answer = self.transact(list(statements))
        check(answer.status == 200, f"transaction answered {answer.status}: {answer.text[:500]}")
        return answer.json

    def query(self, statement):
        """Runs a query that must succeed and returns its rows."""
        answer = self.request("POST", "/v1/queries", json.dumps(statement).encode())
        check(answer.status == 200, f"query answered {answer.status}: {answer.text[:500]}")
        lines = answer.lines
        check(lines and "columns" in lines[0], f"query does not begin with columns: {answer.text[:200]}")
        check("eoq" in lines[-1], f"query does not end with eoq: {lines[-1]}")
        return [line["row"][1] for line in lines[1:-1]]

    def scalar(self, statement):
        return self.query(statement)[0][0]

    def close(self):
        self.connection.close()


class Authority:
    """A certificate authority made with the command line under test."""

    def __init__(self, patina, directory):
        self.patina = patina
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        run([patina, "tls", "ca", "generate"], cwd=self.directory)

    def issue(self, directory):
        """Writes a server and a client certificate for 127.0.0.1 into the directory."""
        authority = ["--ca-key", str(self.directory / "ca_key.pem"), "--ca-cert", str(self.directory / "ca_cert.pem")]
        run([self.patina, "tls", "server", "generate", "127.0.0.1", *authority], cwd=directory)
        run([self.patina, "tls", "client", "generate", *authority], cwd=directory)


def run(arguments, cwd=None, timeout=60, expect=0, environment=None):
    """Runs a command to its end and returns it; `expect` is the exit code that it must have, or None for any."""
    done = subprocess.run(
        [str(argument) for argument in arguments], cwd=cwd, timeout=timeout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, **(environment or {})}, text=True, errors="replace")
    if expect is not None and done.returncode != expect:
        shown = " ".join(str(argument) for argument in arguments)
        raise Failure(f"`{shown}` exited {done.returncode}, not {expect}\nstdout: {done.stdout[-1500:]}\nstderr: {done.stderr[-1500:]}")
    return done


class Agent:
    """One agent, as a child process with a directory, configuration and log of its own."""

    def __init__(self, workspace, name, bootstrap=(), authority=None, schema=SCHEMA, lines="", options=()):
        self.patina = workspace.patina
        self.name = name
        self.directory = workspace.directory / name
        self.directory.mkdir()
        self.gossip_port, self.api_port = free_ports(2)
        self.database = self.directory / "patina.db"
        self.log = self.directory / "agent.log"
        self.admin = self.directory / "admin.sock"
        self.configuration = self.directory / "config.toml"
        (self.directory / "schema.sql").write_text(schema)
        self.process = None
        # Of the command `agent`.
        self.options = list(options)
        self.write_configuration(bootstrap, authority, lines)
        workspace.agents.append(self)

    def write_configuration(self, bootstrap, authority, lines=""):
        security = "plaintext = true"
        if authority:
            authority.issue(self.directory)
            security = f"""
[gossip.tls]
cert_file = "{self.directory}/server_cert.pem"
key_file = "{self.directory}/server_key.pem"
ca_file = "{authority.directory}/ca_cert.pem"
[gossip.tls.client]
cert_file = "{self.directory}/client_cert.pem"
key_file = "{self.directory}/client_key.pem"
"""
        known = ", ".join(f'"127.0.0.1:{agent.gossip_port}"' for agent in bootstrap)
        self.configuration.write_text(f"""
[db]
path = "{self.database}"
schema_paths = ["{self.directory}/schema.sql"]
[api]
bind_addr = "127.0.0.1:{self.api_port}"
[admin]
uds_path = "{self.admin}"
[log]
colors = false
[gossip]
bind_addr = "127.0.0.1:{self.gossip_port}"
bootstrap = [{known}]
{security}
{lines}
""")

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(self.patina), "--config", str(self.configuration), "agent", *self.options], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.directory, start_new_session=True)
        if wait:
            wait_until(self.answers, 20, f"{self.name} answers over HTTP\n{self.log_end()}")
        return self

    def answers(self):
        """True once the HTTP interface answers, healthy or not."""
        if self.process.poll() is not None:
            raise Failure(f"{self.name} exited {self.process.returncode}\n{self.log_end()}")
        try:
            self.client(timeout=2).request("GET", "/v1/health")
            return True
        except (OSError, http.client.HTTPException):
            return False

    def client(self, timeout=30):
        return Client(self.api_port, timeout)

    def kill(self):
        """As a power switch for the process: nothing is finished."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def terminate(self, seconds=10):
        """Asks the agent to leave, waits, and returns its exit code and how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} still runs {seconds} s after SIGTERM\n{self.log_end()}") from None
        return code, time.monotonic() - began

    def cli(self, *arguments, expect=0, timeout=60):
        return run([self.patina, "--config", self.configuration, *arguments], timeout=timeout, expect=expect)

    def members(self):
        """What `patina cluster members` prints: one JSON document per member."""
        text = self.cli("cluster", "members").stdout
        decoder, members = json.JSONDecoder(), []
        while text.strip():
            value, end = decoder.raw_decode(text.lstrip())
            members.append(value)
            text = text.lstrip()[end:]
        return members

    def dump(self):
        """The bytes of all user tables, sorted, as another process reads them from the file."""
        with contextlib.closing(self.open()) as connection:
            connection.execute("BEGIN")
            parts = []
            for table, key in (("rows", "id"), ("shared", "name")):
                for row in connection.execute(f"SELECT * FROM {table} ORDER BY {key}"):
                    parts.append(f"{table} {row!r}\n")
            return "".join(parts).encode()

    def open(self):
        """A read-only connection to the database file."""
        return sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10, isolation_level=None)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_end(self, characters=2500):
        return f"--- end of the log of {self.name}\n{self.log_text()[-characters:]}"

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Failure(f"{self.name} has no resident size: it does not run")

    def check_alive(self, when):
        check(self.process.poll() is None, f"{self.name} died {when}\n{self.log_end()}")
        answer = self.client().request("GET", "/v1/health")
        check_equal(answer.status, 200, f"health of {self.name} {when}")


class Workspace:
    """A directory for one test, and everything that the test started."""

    def __init__(self, patina, debug_patina=None, keep=False):
        self.patina = pathlib.Path(patina).resolve()
        self.debug_patina = pathlib.Path(debug_patina).resolve() if debug_patina else None
        self.root = pathlib.Path(__file__).resolve().parents[2]
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="patina-e2e-"))
        self.keep = keep
        self.agents = []
        self.processes = []
        self.random = random.Random(2026)

    def cluster(self, count, authority=None, **options):
        """Starts agents that all know the first one, and waits until everybody sees everybody."""
        agents = []
        for number in range(count):
            agents.append(Agent(self, f"node-{number + 1}", agents[:1], authority, **options).start())
        self.wait_for_members(agents)
        return agents

    def wait_for_members(self, agents, seconds=20):
        for agent in agents:
            wait_until(
                lambda agent=agent: members_alive(agent) >= len(agents), seconds,
                f"{agent.name} sees {len(agents)} members\n{agent.log_end()}", pause=0.2)

    def authority(self, name="authority"):
        return Authority(self.patina, self.directory / name)

    def spawn(self, arguments, **options):
        """A child process that the end of the test kills, with everything that it started."""
        process = subprocess.Popen(
            [str(argument) for argument in arguments], stdin=subprocess.DEVNULL, start_new_session=True, **options)
        self.processes.append(process)
        return process

    def close(self):
        for process in [agent.process for agent in self.agents if agent.process] + self.processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        if self.keep:
            print(f"    kept: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


def members_alive(agent):
    """Members that the agent counts as alive, itself included."""
    answer = agent.client().request("GET", "/v1/health")
    return answer.json.get("response", {}).get("members", 0) if answer.status == 200 else 0


def wait_for_equal_dumps(agents, seconds):
    """Waits until the user tables of all agents are byte-equal, and returns the dump."""
    found = {}

    def equal():
        found.clear()
        found.update({agent.name: agent.dump() for agent in agents})
        return len(set(found.values())) == 1

    try:
        wait_until(equal, seconds, "equal dumps", pause=0.2)
    except Failure:
        sizes = {name: (dump.count(b"\n"), hashlib.sha256(dump).hexdigest()[:12]) for name, dump in found.items()}
        logs = "\n".join(agent.log_end() for agent in agents)
        raise Failure(f"the tables still differ after {seconds} s, as rows and hash: {sizes}\n{logs}") from None
    return next(iter(found.values()))
