#!/usr/bin/env python3
"""What it costs an agent to record what it does: processor time and bytes for each event, with whole effects and with digests."""

import json
import statistics
import time

from common import Agent, Workspace, arguments, cpu_seconds, print_fragment, run
from throughput import request

# By name the options of an agent.
MODES = {"nothing": [], "whole effects": ["--record"], "digests": ["--record", "--record-digests"]}


def write(agents, rate, seconds, first):
    """Sends single-row transactions at the given rate to all agents in turn; returns how many were answered."""
    clients = [agent.client() for agent in agents]
    began, count = time.perf_counter(), 0
    while (due := began + count / rate) < began + seconds:
        time.sleep(max(0.0, due - time.perf_counter()))
        body = request(first + count).split(b"\r\n\r\n", 1)[1]
        answer = clients[count % len(clients)].request("POST", "/v1/transactions", body)
        assert answer.status == 200, answer.text
        count += 1
    return count


def measure(patina, options, parsed):
    """One cluster from its start to its end: processor seconds of all agents for each transaction, bytes and events of all logs."""
    workspace = Workspace(patina)
    try:
        agents = []
        for number in range(parsed.agents):
            folder = workspace.directory / f"log-{number}"
            own = options[:1] and [options[0], str(folder), *options[1:]]
            agents.append(Agent(workspace, f"node-{number + 1}", agents[:1], options=own).start())
        workspace.wait_for_members(agents)
        write(agents, parsed.rate, 3, 0)  # to warm up
        before = sum(cpu_seconds(agent.process.pid) for agent in agents)
        count = write(agents, parsed.rate, parsed.seconds, 1_000_000)
        used = sum(cpu_seconds(agent.process.pid) for agent in agents) - before
        for agent in agents:
            agent.terminate()
        logs = sorted(workspace.directory.glob("log-*"))
        size = sum(log.stat().st_size for folder in logs for log in folder.iterdir())
        events = 0
        for folder in logs:
            report = json.loads(run([patina, "sim", "replay", folder, "--json"], timeout=300).stdout)
            assert report["identical"], f"the replay of {folder} differs"
            events += sum(log["events"] for log in report["logs"])
        return used / count, size, events
    finally:
        workspace.close()


def main():
    parsed = arguments(
        __doc__, agents=(3, "agents"), rate=(150, "transactions a second, over all agents"), seconds=(30, "seconds of each measurement"),
        rounds=(3, "measurements of each kind, in turn"))
    found = {name: [] for name in MODES}
    for _ in range(parsed.rounds):
        for name, options in MODES.items():
            found[name].append(measure(parsed.patina, options, parsed))
    # Each is compared with the one of its own round: what else the machine does changes slowly.
    rows = []
    for name, results in found.items():
        more = [each[0] / none[0] - 1 for each, none in zip(results, found["nothing"])]
        size, events = sum(each[1] for each in results), sum(each[2] for each in results)
        rows.append([
            name, f"{statistics.median(each[0] for each in results) * 1000:.3f} ms",
            "–" if name == "nothing" else f"{statistics.median(more):+.1%}",
            "–" if name == "nothing" else f"{min(more):+.1%} … {max(more):+.1%}", f"{size / events:.0f}" if events else "–"])
    print_fragment(
        "The cost of recording",
        f"{parsed.agents} agents, {parsed.rate} single-row transactions a second with a payload of 100 bytes, {parsed.seconds} s, {parsed.rounds} times each, "
        "in turn. CPU is that of all agents for each transaction; the change is against the measurement without recording of the same round. Every log "
        "replays to the same effects.",
        ["recorded", "CPU a transaction, median", "change, median", "least … most", "bytes an event"], rows)


if __name__ == "__main__":
    main()
