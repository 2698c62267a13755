#!/usr/bin/env python3
"""Processor time and resident memory of agents that have nothing to do."""

import time

from common import Workspace, arguments, cpu_seconds, print_fragment


def main():
    parsed = arguments(__doc__, seconds=(30, "seconds of idleness that are measured"), settle=(5, "seconds before that"))
    rows = []
    for size in (1, 3):
        workspace = Workspace(parsed.patina)
        try:
            agents = workspace.cluster(size, workspace.authority())
            time.sleep(parsed.settle)
            before = {agent.name: cpu_seconds(agent.process.pid) for agent in agents}
            began = time.perf_counter()
            time.sleep(parsed.seconds)
            wall = time.perf_counter() - began
            for agent in agents:
                used = (cpu_seconds(agent.process.pid) - before[agent.name]) / wall
                rows.append([f"{agent.name} of {size}", f"{used:.2%}", f"{agent.resident_bytes() / 2**20:.1f} MiB"])
        finally:
            workspace.close()
    print_fragment(
        "An idle agent",
        f"Agents with mutual TLS and empty tables, {parsed.settle} s after they found each other, over {parsed.seconds} s. CPU is a share of one core.",
        ["agent", "CPU", "resident memory"], rows)


if __name__ == "__main__":
    main()
