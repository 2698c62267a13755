#!/usr/bin/env python3
"""How far the simulator is from real agents: KS distances of the propagation latency, beside what noise alone does.

First runs the calibration scenario on real agents and takes two times of a simulated machine from it (docs/live.md). Then runs the scenario
that is compared on agents, twice with each seed, and in the simulator with the same seeds, with those times and without, and prints sections for
results/sim-to-live.md. With 2 seeds it takes 10 minutes; nothing else may run on the machine meanwhile.
"""

import json
import pathlib
import statistics
import sys
import tempfile

from common import arguments, machine, print_fragment, run

CALIBRATION = "scenarios/smoke/calibration.toml"
CALIBRATION_LATENCY = 5.0  # milliseconds that every link of it takes
METRICS = ["propagation.p50_ms", "propagation.p99_ms", "propagation.undisturbed.p50_ms", "propagation.undisturbed.p99_ms"]


def uniform(tenth, half):
    """The uniform distribution with that tenth percentile and that median, as a range of a scenario; milliseconds."""
    width = max(0.0, half - tenth) / 0.4
    low = max(0.0, half - width / 2)
    return f"{low * 1000:.0f}us..{(low + width) * 1000:.0f}us"


def calibrate(patina, root, runs, options):
    """Measures disk.write and transport.time on real agents: medians over the runs of their percentiles."""
    reports = []
    for seed in range(1, runs + 1):
        folder = root / "calibration" / str(seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        done = run([patina, "live", "run", CALIBRATION, "--seed", str(seed), "--out", folder, *options], timeout=300, expect=None)
        print(f"calibration {seed}: exit {done.returncode}", file=sys.stderr, flush=True)
        reports.append(json.loads((folder / "report.json").read_text())["metrics"])
    names = ["live.apply.p10_ms", "live.apply.p50_ms", "live.apply.p90_ms", "live.apply.p99_ms",
             "live.hop.p10_ms", "live.hop.p50_ms", "live.hop.p90_ms", "live.hop.p99_ms", "live.machine_busy_percent"]
    median = {name: statistics.median(each[name] for each in reports) for name in names}
    write = uniform(median["live.apply.p10_ms"], median["live.apply.p50_ms"])
    transport = uniform(median["live.hop.p10_ms"] - CALIBRATION_LATENCY, median["live.hop.p50_ms"] - CALIBRATION_LATENCY)
    print_fragment(
        "Calibration", f"`{CALIBRATION}`, {runs} runs on agents. The uniform distributions with these tenth percentiles and medians are "
        f"`disk.write = \"{write}\"` and, after {CALIBRATION_LATENCY:.0f} ms of latency, `transport.time = \"{transport}\"`.",
        ["metric", "median over the runs"], [[f"`{name}`", f"{value:.3f}"] for name, value in median.items()])
    return ["--set", f"node.disk.write={write}", "--set", f"node.transport.time={transport}"]


def main():
    parsed = arguments(
        __doc__, calibrations=(2, "runs of the calibration; 0: the scenario's own times are used"), scenario=("scenarios/smoke/partition-heal.toml", "the scenario"), seeds=(2, "seeds; each runs twice on agents"),
        nodes=(0, "agents, when not as many as the scenario says"), out=("", "keep the results of all runs in this folder"))
    patina = str(pathlib.Path(parsed.patina).resolve())
    options = ["--set", f"topology.nodes={parsed.nodes}"] if parsed.nodes else []
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(parsed.out or temporary).resolve()
        seeds = range(1, parsed.seeds + 1)
        unusable = []
        calibrated = calibrate(patina, root, parsed.calibrations, options) if parsed.calibrations else []

        def simulate(side, seed, *more):
            folder = root / side / str(seed)
            folder.parent.mkdir(parents=True, exist_ok=True)
            run([patina, "sim", "run", parsed.scenario, "--seed", str(seed), "--out", folder, *options, *more], timeout=300, expect=None)

        def live(side, seed):
            folder = root / side / str(seed)
            folder.parent.mkdir(parents=True, exist_ok=True)
            done = run(
                [patina, "live", "run", parsed.scenario, "--seed", str(seed), "--out", folder, *options, *calibrated], timeout=600, expect=None)
            report = json.loads((folder / "report.json").read_text()) if (folder / "report.json").exists() else {}
            print(f"{side} {seed}: exit {done.returncode} {report.get('shortcomings') or ''}", file=sys.stderr, flush=True)
            if done.returncode != 0:
                unusable.append(f"{side}, seed {seed}: exit {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
            return report

        reports = []
        for seed in seeds:
            simulate("sim", seed, *calibrated)
            simulate("sim-as-written", seed)
            simulate("sim-other", seed + 1_000, *calibrated)
            simulate("sim-slower", seed, *calibrated, "--set", "link.0.latency.min=2400us", "--set", "link.0.latency.mean=3600us")
            for side in ("live", "live-again"):
                reports.append(live(side, seed))

        def compare(left, right, each=None):
            """`patina compare`: of all runs of both sides, or of one seed."""
            names = [str(root / side / str(each)) if each else str(root / side) for side in (left, right)]
            done = run([patina, "compare", "--json", *names], timeout=120)
            return json.loads(done.stdout)

        pairs = [("sim", "live", True), ("sim-as-written", "live", True), ("sim", "live-again", True), ("live", "live-again", True), ("sim", "sim-other", False),
                 ("sim", "sim-slower", True)]
        rows = []
        for left, right, paired in pairs:
            pooled = compare(left, right)
            single = [compare(left, right, seed) for seed in seeds] if paired else []
            rows.append([
                f"{left}, {right}", f"{pooled['ks_propagation']:.3f}",
                f"{statistics.median(each['ks_propagation'] for each in single):.3f}" if single else "–",
                f"{pooled['ks_propagation_undisturbed']:.3f}", f"{pooled['wasserstein_propagation_ms']:.1f} ms"])
        print_fragment(
            "Distances", f"`{parsed.scenario}`, {parsed.seeds} seeds, on {machine()}. `sim` has the times of the calibration, `sim-as-written` those of the file, `live-again` is the same seeds on agents once more, `sim-other` other seeds, "
            "`sim-slower` the same seeds with all latencies a fifth longer: a distance that the method must see.",
            ["sides", "KS propagation, pooled", "median over the seeds", "KS undisturbed", "Wasserstein"], rows)
        both = compare("sim", "live")
        again = compare("live", "live-again")
        rows = []
        for name in METRICS:
            here = next(each for each in both["metrics"] if each["name"] == name)
            there = next(each for each in again["metrics"] if each["name"] == name)
            rows.append([f"`{name}`", f"{here['a']:.2f}", f"{here['b']:.2f}", f"{here['delta']:+.2f}", f"{there['delta']:+.2f}"])
        print_fragment("Percentiles", "Means over the runs, in milliseconds.", ["metric", "sim", "live", "live − sim", "live-again − live"], rows)
        rows = []
        names = sorted({name for each in reports for name in each.get("metrics", {}) if name.startswith("live.")})
        for name in names:
            values = [each["metrics"][name] for each in reports if name in each.get("metrics", {})]
            rows.append([f"`{name}`", f"{min(values):.3f}", f"{statistics.median(values):.3f}", f"{max(values):.3f}"])
        print_fragment("How exact the live runs were", "Over all live runs.", ["metric", "least", "median", "most"], rows)
        for line in unusable:
            print(f"- {line}")
        print(f"\nks_propagation of `patina compare --json sim live`: **{both['ks_propagation']:.3f}** (wanted: at most 0.15); "
              f"unusable or failed live runs: {len(unusable)} of {len(reports)}")
    return 1 if unusable or both["ks_propagation"] > 0.15 else 0


if __name__ == "__main__":
    sys.exit(main())
