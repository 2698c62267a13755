"""`patina dev cluster` and `patina dev demo`: a whole cluster in one command, and nothing left of it afterwards."""

import http.client
import os
import pathlib
import re
import signal
import subprocess
import time

from harness import Client, Failure, check, check_equal, run, wait_until


def children(process):
    """Process ids that descend from the process."""
    found, parents = [], [process.pid]
    table = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            table.append((int(entry.name), int(text[text.rindex(")") + 2:].split()[1])))
    while parents:
        parent = parents.pop()
        below = [pid for pid, its_parent in table if its_parent == parent]
        found += below
        parents += below
    return found


def runs(pid):
    try:
        return (pathlib.Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start_cluster(workspace, *options):
    """Starts a development cluster; returns the process, its output so far and the API ports."""
    output = workspace.directory / f"cluster-{len(workspace.processes)}.txt"
    with open(output, "wb") as file:
        process = workspace.spawn(
            [workspace.patina, "dev", "cluster", *options], stdout=file, stderr=subprocess.STDOUT, cwd=workspace.directory,
            env={**os.environ, "TMPDIR": str(workspace.directory)})

    def ready():
        if process.poll() is not None:
            raise Failure(f"dev cluster exited {process.returncode}\n{output.read_text()}")
        return "curl" in output.read_text() and "Ctrl-C" in output.read_text()

    wait_until(ready, 60, f"the cluster is ready\n{output.read_text()}", pause=0.1)
    ports = sorted({int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", output.read_text())})
    return process, output, ports


def check_cluster(ports, count):
    check_equal(len(ports), count, "API addresses that the cluster prints")
    clients = [Client(port) for port in ports]
    for client in clients:
        wait_until(lambda client=client: client.request("GET", "/v1/health").json["response"]["members"] == count, 20, "all members")


def stop(process, number, seconds=15):
    process.send_signal(number)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise Failure(f"dev cluster still runs {seconds} s after signal {number}") from None


def test_cluster(workspace):
    """Starts, replicates with the printed curl line, and stops on Ctrl-C and on SIGTERM without leaving processes or files."""
    for number in (signal.SIGINT, signal.SIGTERM):
        process, output, ports = start_cluster(workspace, "-n", "3")
        check_cluster(ports, 3)
        below = children(process)
        check_equal(len(below), 3, "child processes")
        line = next(line.strip() for line in output.read_text().splitlines() if line.strip().startswith("curl"))
        done = run(["bash", "-c", line + " --silent --fail-with-body"])
        check("rows_affected" in done.stdout, f"the printed line {line!r} answers {done.stdout[:200]}")
        version = re.search(r'"version":\s*(\d+|null)', done.stdout)
        check(version and version[1] != "null", f"the printed line writes nothing: {done.stdout}")
        before = set(workspace.directory.iterdir())
        check(any("patina" in path.name for path in before), "the cluster keeps its files elsewhere than in TMPDIR")
        check_equal(stop(process, number), 0, f"exit code after signal {number}\n{output.read_text()}")
        wait_until(lambda: not any(map(runs, below)), 5, "every agent has ended")
        left = [path.name for path in workspace.directory.iterdir() if path.is_dir()]
        check_equal(left, [], "directories that the cluster left")


def test_cluster_of_five_keeps_its_directory(workspace):
    """`--directory` keeps the files, and a second start finds the data of the first."""
    kept = workspace.directory / "kept"
    process, output, ports = start_cluster(workspace, "-n", "5", "--directory", str(kept))
    check_cluster(ports, 5)
    Client(ports[0]).execute("INSERT INTO notes (id, text) VALUES (77, 'kept')")
    for port in ports:
        wait_until(lambda port=port: Client(port).scalar("SELECT count(*) FROM notes WHERE id = 77") == 1, 10, "the row arrives")
    check_equal(stop(process, signal.SIGTERM), 0, f"exit code\n{output.read_text()}")
    process, output, ports = start_cluster(workspace, "-n", "5", "--directory", str(kept))
    check_equal(Client(ports[4]).scalar("SELECT text FROM notes WHERE id = 77"), "kept", "the row after a second start")
    check_equal(stop(process, signal.SIGTERM), 0, f"exit code\n{output.read_text()}")


def test_killed_parent_takes_its_agents_along(workspace):
    """SIGKILL to `dev cluster` does not leave agents behind."""
    process, _, _ = start_cluster(workspace, "-n", "2")
    below = children(process)
    process.kill()
    process.wait(5)
    wait_until(lambda: not any(map(runs, below)), 10, "the agents ended after their parent was killed")


def test_agent_that_dies_is_reported(workspace):
    """When an agent of a development cluster dies, the cluster says so and goes on."""
    process, output, ports = start_cluster(workspace, "-n", "3")
    os.kill(children(process)[1], signal.SIGKILL)
    wait_until(lambda: re.search(r"node-\d.*(died|ended|exited)", output.read_text()), 10, "the death of an agent is reported")
    check(process.poll() is None, "the cluster ended with one of its agents")
    alive = 0
    for port in ports:
        try:
            alive += Client(port, timeout=3).request("GET", "/v1/health").status == 200
        except (OSError, http.client.HTTPException):
            pass
    check_equal(alive, 2, "agents that still answer")
    check_equal(stop(process, signal.SIGTERM), 0, f"exit code\n{output.read_text()}")


def test_demo(workspace):
    """The demonstration runs to its end and prints its table: simulated beside live."""
    began = time.monotonic()
    done = run([workspace.patina, "dev", "demo"], cwd=workspace.root, timeout=150, environment={"TMPDIR": str(workspace.directory)})
    check(time.monotonic() - began < 150, "the demonstration takes too long")
    for words in ("simulated", "live", "propagation", "catch-up", "equal"):
        check(words in done.stdout.lower(), f"the demonstration does not say {words!r}\n{done.stdout}")
    left = [path.name for path in workspace.directory.iterdir() if path.is_dir()]
    check_equal(left, [], "directories that the demonstration left")


test_demo.seconds = 180
