#!/usr/bin/env python3
"""Simulated seconds per wall second at several sizes of cluster."""

import json
import pathlib

from common import arguments, print_fragment, run


def main():
    parsed = arguments(
        __doc__, scenario=("scenarios/scale/steady.toml", "the scenario that is scaled"), nodes=("5,100,1000", "sizes"),
        runs=(3, "runs of each size, of which the median counts"))
    root = pathlib.Path(__file__).resolve().parents[2]
    rows = []
    for nodes in parsed.nodes.split(","):
        reports = []
        for _ in range(parsed.runs):
            done = run(
                [pathlib.Path(parsed.patina).resolve(), "sim", "run", parsed.scenario, "--set", f"topology.nodes={nodes}", "--json"],
                cwd=root, timeout=1800)
            reports.append(json.loads(done.stdout))
        assert len({report["trace_hash"] for report in reports}) == 1, "the runs of one seed differ"
        report = sorted(reports, key=lambda each: each["wall_seconds"])[len(reports) // 2]
        rows.append([
            nodes, f"{report['sim_seconds']:.0f} s", f"{report['wall_seconds']:.2f} s",
            f"{report['sim_seconds'] / report['wall_seconds']:.1f}", f"{report['events']:,}",
            f"{report['events'] / report['wall_seconds']:,.0f}", f"{report['messages_delivered']:,}",
        ])
    print_fragment(
        "Simulator speed",
        f"`{parsed.scenario}` with the number of nodes changed; every node has a real SQLite database in memory, and all bytes are those of the wire. "
        f"Median of {parsed.runs} runs in processes of their own.",
        ["nodes", "simulated", "wall", "simulated s per wall s", "events", "events per wall s", "messages delivered"], rows)


if __name__ == "__main__":
    main()
