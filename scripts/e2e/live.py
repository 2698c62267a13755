"""`patina live run`: scenarios on real agents, judged like simulated ones, and nothing left of them afterwards."""

import json
import os
import pathlib
import signal
import subprocess
import time

from development import children, runs
from harness import check, check_equal, run, wait_until

# Small enough for a machine that does other things: 4 agents, a partition, a kill and a restart.
SCENARIO = """
format = 1
name = "live-small"
about = "A partition and a crash among four agents; all agree afterwards."
[run]
duration = "14s"
warmup = "2s"
drain = "5s"
[topology]
nodes = 4
[[link]]
latency = "2ms..6ms"
loss = "0.5%"
[[workload]]
kind = "upsert"
rate = "20/s"
[[fault]]
id = "cut"
kind = "partition"
sides = [["node:0-1"], ["rest"]]
at = "3s"
for = "3s"
[[fault]]
id = "crash"
kind = "crash"
select = "node:3"
at = "5s"
for = "2s"
[[check]]
always = "no-acked-write-lost"
[[check]]
always = "bookkeeping-matches-rows"
[[check]]
always = "matches-oracle"
[[check]]
eventually = "converged"
after = "heal"
within = "5s"
[[check]]
never = "malformed-input"
"""
# So wide that a busy machine does not matter here; what a narrow one does is tested apart.
WIDE = ("--delay-error", "10000")


def write(workspace, text=SCENARIO):
    path = workspace.directory / "live.toml"
    path.write_text(text)
    return path


def live(workspace, *arguments, expect):
    """Runs `patina live run` and checks that no folder and no process is left."""
    environment = {"TMPDIR": str(workspace.directory)}
    before = recordings()
    done = run([workspace.patina, "live", "run", *arguments], cwd=workspace.root, timeout=90, expect=expect, environment=environment)
    check_nothing_left(workspace, before)
    return done


def recordings():
    """The folders of recordings in memory, of whatever run."""
    return set(pathlib.Path("/dev/shm").glob("patina-live-*"))


def check_nothing_left(workspace, before):
    left = [path.name for path in workspace.directory.iterdir() if path.name.startswith("patina-live-")]
    check_equal(left, [], "folders that a live run leaves behind")
    check_equal(recordings() - before, set(), "recordings that a live run leaves behind")


def test_partition_and_restart(workspace):
    """Four agents, a partition, SIGKILL and a restart: exit 0, every recording replays, and the metrics are those of a simulated run."""
    out = workspace.directory / "out"
    scenario = write(workspace)
    done = live(workspace, scenario, "--seed", "3", "--json", "--out", out, *WIDE, expect=0)
    report = json.loads(done.stdout)
    check_equal(report["engine"], "live", "engine")
    check_equal(report["trace_hash"], None, "a live run has no trace hash")
    verdicts = {each["name"]: each["valid"] for each in report["checks"]}
    check_equal(verdicts["recordings replay"], True, "recordings replay")
    check_equal(verdicts["agents run"], True, "agents run")
    check_equal(verdicts["always matches-oracle"], None, "a check that nobody can judge live")
    check_equal(verdicts["eventually converged after heal"], True, "converged")
    metrics = report["metrics"]
    check(metrics["network.datagrams_cut"] > 0, "the partition cut nothing")
    check(metrics["network.datagrams_lost"] > 0, "no datagram was lost")
    check(metrics["propagation.count"] > 100, f"only {metrics['propagation.count']} propagations were seen")
    check(metrics["live.delay_error.p99_ms"] > 0, "the relay did not measure itself")
    simulated = run([workspace.patina, "sim", "run", scenario, "--seed", "3", "--json"], cwd=workspace.root, timeout=60, expect=0)
    other = json.loads(simulated.stdout)
    check_equal(report["scenario_hash"], other["scenario_hash"], "scenario hash")
    for name in ("transactions.acknowledged", "transactions.refused"):
        # One at the very moment of the kill may go either way.
        check(abs(metrics[name] - other["metrics"][name]) <= 2, f"{name}: live {metrics[name]}, simulated {other['metrics'][name]}")
    compared = run([workspace.patina, "compare", "--json", out, out], cwd=workspace.root, expect=0)
    check_equal(json.loads(compared.stdout)["ks_propagation"], 0, "a run compared with itself")


def test_verdicts(workspace):
    """A check that fails exits 1; a machine that is too slow for the bound exits 2, whatever the checks say."""
    short = SCENARIO.replace('duration = "14s"', 'duration = "6s"').replace('drain = "5s"', 'drain = "1s"').split("[[fault]]")[0]
    impossible = write(workspace, short + '[[check]]\nmetric = "propagation.p50_ms"\nat_most = 1\n')
    done = live(workspace, impossible, *WIDE, expect=1)
    check("metric propagation.p50_ms" in done.stdout and "FAILED" in done.stdout, f"which check failed?\n{done.stdout}")
    done = live(workspace, impossible, "--delay-error", "0.000001", expect=2)
    check("could not keep up" in done.stderr, f"why is the run unusable?\n{done.stderr}")


def test_keep(workspace):
    """`--keep` leaves databases, logs and recordings in the folder of the results, and `sim replay` replays them."""
    out = workspace.directory / "kept"
    short = SCENARIO.replace('duration = "14s"', 'duration = "6s"').replace('drain = "5s"', 'drain = "1s"').split("[[fault]]")[0]
    check_text = '[[check]]\nnever = "malformed-input"\n'
    live(workspace, write(workspace, short + check_text), "--keep", "--out", out, *WIDE, expect=0)
    agents = out / "agents"
    for name in ("config.toml", "state.db", "agent.log"):
        check((agents / "node-2" / name).exists(), f"--keep did not keep {name}")
    run([workspace.patina, "sim", "replay", agents / "recordings" / "node-2" / "1"], timeout=60, expect=0)


def test_refusals(workspace):
    """What real agents cannot do is refused before anything starts, with what can be done instead."""
    cases = {
        '[[fault]]\nid = "slow"\nkind = "slow-cpu"\nselect = "node:1"\nat = "3s"\nfor = "1s"\n': ("slow-cpu", "partition-halves"),
        "[node.swim]\nperiod = \"500ms\"\n": ("[node]", "disk.synchronous"),
    }
    for lines, words in cases.items():
        began = time.monotonic()
        done = live(workspace, write(workspace, SCENARIO + lines), expect=2)
        check(time.monotonic() - began < 5, "the refusal comes late")
        for word in words:
            check(word in done.stderr, f"the refusal does not say {word}: {done.stderr}")
    done = live(workspace, write(workspace), "--nodes", "500", expect=2)
    check("--nodes 16" in done.stderr, f"a number that works is not suggested: {done.stderr}")


def test_interrupted(workspace):
    """Ctrl-C in the middle of a run, with one agent stopped: exit 2, and no process is left."""
    paused = SCENARIO + '[[fault]]\nid = "stop"\nkind = "pause"\nselect = "node:2"\nat = "1s"\nfor = "8s"\n'
    scenario = write(workspace, paused)
    log = workspace.directory / "live.txt"
    before = recordings()
    with open(log, "wb") as file:
        process = workspace.spawn(
            [workspace.patina, "live", "run", scenario], stdout=file, stderr=subprocess.STDOUT, cwd=workspace.root,
            env={**os.environ, "TMPDIR": str(workspace.directory)})
    wait_until(lambda: "the scenario begins" in log.read_text(), 60, "the run begins")
    time.sleep(2)
    agents = children(process)
    check(len(agents) >= 4, f"only {len(agents)} processes run")
    process.send_signal(signal.SIGINT)
    check_equal(process.wait(20), 2, f"exit code of an interrupted run\n{log.read_text()}")
    wait_until(lambda: not any(runs(pid) for pid in agents), 5, "all agents are gone")
    check_nothing_left(workspace, before)
