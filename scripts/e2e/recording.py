"""Agents that record what they do, and the replay that does it again: `agent --record` and `sim replay`."""

import json
import os

from harness import Agent, check, check_equal, run, wait_for_equal_dumps, wait_until


def replay(workspace, folder, *options, expect=0):
    return run([workspace.patina, "sim", "replay", folder, *options], expect=expect, timeout=100)


def write(agent, first, count):
    client = agent.client()
    for number in range(first, first + count):
        client.execute(["INSERT INTO rows (id, node, payload) VALUES (?, ?, ?)", [number, agent.name, "x" * (number % 300)]])


def test_replay_is_identical(workspace):
    """Three recorded agents, writes, a SIGKILL, a restart: every log replays to the same effects; a damaged one is reported."""
    agents = []
    for number in range(3):
        agent = Agent(workspace, f"node-{number + 1}", agents[:1], options=["--record", str(workspace.directory / f"log-{number + 1}")])
        agents.append(agent.start())
    workspace.wait_for_members(agents)
    for number, agent in enumerate(agents):
        write(agent, 1 + number * 1_000, 60)
    # What was handled in the last tenth of a second may be lost; this is about the rest.
    log = workspace.directory / "log-2" / "events-000001.log"
    wait_until(lambda: log.stat().st_size > 30_000, 20, "the log of node-2 grows")
    agents[1].kill()
    write(agents[0], 5_000, 40)
    agents[1].start()
    write(agents[1], 6_000, 40)
    wait_for_equal_dumps(agents, 40)
    for agent in agents:
        check_equal(agent.terminate()[0], 0, f"exit code of {agent.name}")

    for number in (1, 2, 3):
        folder = workspace.directory / f"log-{number}"
        names = sorted(path.name for path in folder.iterdir())
        check_equal(len(names), 2 if number == 2 else 1, f"logs of node-{number}: one for each start")
        report = json.loads(replay(workspace, folder, "--json").stdout)
        check_equal(report["kind"], "recording", "what is replayed")
        check(report["identical"], f"the replay of node-{number} differs: {report}")
        for log in report["logs"]:
            check(log["events"] > 40, f"node-{number} recorded {log['events']} events only")
        endings = [log["ending"] for log in report["logs"]]
        check("shut down" in endings[-1], f"node-{number} was shut down, and its log says: {endings[-1]}")
        if number == 2:
            check("shut down" not in endings[0], f"node-2 was killed, and its log says: {endings[0]}")
    check("identical" in replay(workspace, workspace.directory / "log-1").stdout, "the text does not say that it is identical")

    log = workspace.directory / "log-1" / "events-000001.log"
    check_equal(os.stat(log).st_mode & 0o777, 0o600, "mode of a log")
    shown = replay(workspace, log, "--until", "50").stdout
    check("stopped after event 50" in shown and "what happens next" in shown, f"--until shows something else: {shown[:300]}")
    check("stopped after event" in replay(workspace, log, "--until", "1s").stdout, "--until does not take a time")
    replay(workspace, log, "--until", "nonsense", expect=2)
    replay(workspace, log, "--node", "1", expect=2)

    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0x20
    log.write_bytes(content)
    damaged = replay(workspace, log, expect=2)
    check("UNREADABLE" in damaged.stdout and "damaged at byte" in damaged.stdout, f"a flipped byte: {damaged.stdout}")
    content[len(content) // 2] ^= 0x20
    log.write_bytes(content[:-30])
    check("cut within a record" in replay(workspace, log).stdout, "a log that was cut is not called so")
    content[8] += 1
    log.write_bytes(content)
    check("this build reads format" in replay(workspace, log, expect=2).stdout, "another format is not named")


def test_bad_directories(workspace):
    """A folder that cannot be recorded to, and a limit that makes no sense, are clear errors."""
    agent = Agent(workspace, "node-1")
    file = workspace.directory / "file"
    file.write_text("")
    for folder in (file, file / "below", "/proc/nothing"):
        refused = agent.cli("agent", "--record", folder, expect=1)
        check("--record" in refused.stderr and str(folder) in refused.stderr, f"the error does not say what and where: {refused.stderr}")
    for limit in ("many", "5", "10KiB"):
        agent.cli("agent", "--record", workspace.directory / "log", "--record-limit", limit, expect=2)
    agent.cli("agent", "--record-limit", "5GiB", expect=2)
    empty = workspace.directory / "empty"
    empty.mkdir()
    replay(workspace, empty, expect=2)
    replay(workspace, workspace.directory / "missing", expect=2)


def test_limit(workspace):
    """A log that has reached its limit ends with a line in the agent's log, and the agent goes on."""
    folder = workspace.directory / "log"
    agent = Agent(workspace, "node-1", options=["--record", str(folder), "--record-limit", "1MiB"]).start()
    client = agent.client()
    for number in range(60):
        client.execute(["INSERT INTO rows (id, payload) VALUES (?, ?)", [number, "y" * 40_000]])
    agent.check_alive("after its recording has ended")
    check("recording ends" in agent.log_text(), "the agent's log does not say that the recording ends")
    check_equal(agent.terminate()[0], 0, "exit code")
    check((folder / "events-000001.log").stat().st_size <= 1 << 20, "the log is larger than its limit")
    check("reached its limit" in replay(workspace, folder).stdout, "the log does not say why it ended")
