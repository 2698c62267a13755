#!/usr/bin/env python3
"""Simulated seconds per wall second at several sizes of cluster."""

import json
import pathlib

from common import arguments, print_fragment, run

# Scenarios of scenarios/scale, the first one also with fewer nodes.
DEFAULT = "scenarios/scale/hundred.toml@5,scenarios/scale/hundred.toml@100,scenarios/scale/thousand.toml@1000"


def main():
    parsed = arguments(
        __doc__, sizes=(DEFAULT, "scenario@nodes, separated by commas"), runs=(3, "runs of each, of which the median counts"))
    root = pathlib.Path(__file__).resolve().parents[2]
    rows = []
    for size in parsed.sizes.split(","):
        scenario, _, nodes = size.partition("@")
        reports = []
        for _ in range(parsed.runs):
            done = run(
                [pathlib.Path(parsed.patina).resolve(), "sim", "run", scenario, "--set", f"topology.nodes={nodes}", "--json"],
                cwd=root, timeout=3600)
            reports.append(json.loads(done.stdout))
        assert len({report["trace_hash"] for report in reports}) == 1, "the runs of one seed differ"
        report = sorted(reports, key=lambda each: each["wall_seconds"])[len(reports) // 2]
        rows.append([
            nodes, pathlib.Path(scenario).stem, f"{report['sim_seconds']:.0f} s", f"{report['wall_seconds']:.2f} s",
            f"{report['sim_seconds'] / report['wall_seconds']:.1f}", f"{report['events']:,}",
            f"{report['events'] / report['wall_seconds']:,.0f}", f"{report['messages_delivered']:,}",
        ])
    print_fragment(
        "Simulator speed",
        "Every node has a real SQLite database in memory, all bytes are those of the wire, and the checks of the scenario are judged. "
        f"Median of {parsed.runs} runs in processes of their own.",
        ["nodes", "scenario", "simulated", "wall", "simulated s per wall s", "events", "events per wall s", "messages delivered"], rows)


if __name__ == "__main__":
    main()
