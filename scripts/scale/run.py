#!/usr/bin/env python3
"""Runs each scenario of scenarios/scale twice: equal trace hashes, every check holds. Prints what each run cost."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def simulate(patina, root, scenario, options):
    """One run: its report, wall and CPU seconds, and the most memory that it had, in MiB."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([patina, "sim", "run", scenario, *options, "--json"], cwd=root, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        output.seek(0)
        text = output.read()
    if process.returncode not in (0, 1):
        sys.exit(f"{scenario}: exit code {process.returncode}")
    return json.loads(text), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patina", required=True, help="the executable, a release build")
    parser.add_argument("--runs", type=int, default=2, help="runs of each scenario")
    parser.add_argument("--set", action="append", default=[], help="path=value, as of `patina sim run`")
    parser.add_argument("scenarios", nargs="*", help="files; all of scenarios/scale unless given")
    parsed = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    patina = pathlib.Path(parsed.patina).resolve()
    found = parsed.scenarios or sorted(str(path.relative_to(root)) for path in (root / "scenarios/scale").glob("*.toml"))
    options = [word for each in parsed.set for word in ("--set", each)]
    failures = 0
    print("| scenario | wall s | CPU s | simulated s per CPU s | messages per CPU s | most memory, MiB | trace hash |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for scenario in found:
        hashes = set()
        for _ in range(parsed.runs):
            report, wall, cpu, memory = simulate(patina, root, scenario, options)
            hashes.add(report["trace_hash"])
            print(
                f"| {pathlib.Path(scenario).stem} | {wall:.2f} | {cpu:.2f} | {report['sim_seconds'] / cpu:,.1f} "
                f"| {report['messages_delivered'] / cpu:,.0f} | {memory:,.0f} | {report['trace_hash']} |", flush=True)
            for each in report["checks"]:
                if not each["valid"]:
                    failures += 1
                    print(f"{scenario}: {each['name']} does not hold: {each['detail']}", file=sys.stderr)
        if len(hashes) != 1:
            failures += 1
            print(f"{scenario}: {len(hashes)} different trace hashes", file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
