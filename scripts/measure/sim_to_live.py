#!/usr/bin/env python3
"""How far the simulator is from real agents: KS distances of the propagation latency, beside what noise alone does.

Runs the scenario on agents, twice with each seed, and in the simulator with the same seeds, as it is written and with two times of a simulated
machine that were measured on real agents on the calibration scenario (docs/live.md), and prints sections for results/sim-to-live.md. With 2 seeds
it takes 10 minutes; nothing else may run on the machine meanwhile.
"""

import json
import pathlib
import statistics
import sys
import tempfile

from common import arguments, machine, print_fragment, run

CALIBRATION = "scenarios/smoke/calibration.toml"
CALIBRATION_TENTH, CALIBRATION_HALF = 2.8, 6.0  # percentiles of the latency of its links, 2 to 10 ms evenly, in milliseconds
METRICS = ["propagation.p50_ms", "propagation.p99_ms", "propagation.undisturbed.p50_ms", "propagation.undisturbed.p99_ms"]


def uniform(tenth, half):
    """The uniform distribution with that tenth percentile and that median, as a range of a scenario; milliseconds."""
    width = max(0.0, half - tenth) / 0.4
    low = max(0.0, half - width / 2)
    return f"{low * 1000:.0f}us..{(low + width) * 1000:.0f}us"


def calibrate(patina, root, runs, options, unusable):
    """Measures disk.write and transport.time on real agents: medians over the runs of their percentiles."""
    reports = []
    for seed in range(1, runs + 1):
        folder = root / "calibration" / str(seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        done = run([patina, "live", "run", CALIBRATION, "--seed", str(seed), "--out", folder, *options], timeout=300, expect=None)
        print(f"calibration {seed}: exit {done.returncode}", file=sys.stderr, flush=True)
        if done.returncode not in (0, 2):
            sys.exit(f"the calibration failed: {done.stderr.strip()[-1500:]}")
        if done.returncode == 2:
            unusable.append(f"calibration, seed {seed}: exit 2: {'; '.join(json.loads((folder / 'report.json').read_text())['shortcomings'])}")
        reports.append(json.loads((folder / "report.json").read_text())["metrics"])
    names = ["live.apply.p10_ms", "live.apply.p50_ms", "live.apply.p90_ms", "live.apply.p99_ms",
             "live.hop.p10_ms", "live.hop.p50_ms", "live.hop.p90_ms", "live.hop.p99_ms", "live.machine_busy_percent"]
    median = {name: statistics.median(each[name] for each in reports) for name in names}
    write = uniform(median["live.apply.p10_ms"], median["live.apply.p50_ms"])
    # What two percentiles lie above those of the link alone. The link's own spread hides that of the transport, so one time stands for it.
    above = [median["live.hop.p10_ms"] - CALIBRATION_TENTH, median["live.hop.p50_ms"] - CALIBRATION_HALF]
    transport = f"{max(0.0, statistics.mean(above)) * 1000:.0f}us"
    print_fragment(
        "Calibration", f"`{CALIBRATION}`, {runs} runs on agents. The uniform distribution with this tenth percentile and median of `live.apply` is "
        f"`disk.write = \"{write}\"`. `live.hop` lies above the {CALIBRATION_TENTH} and {CALIBRATION_HALF} ms of the links alone by "
        f"`transport.time = \"{transport}\"`, the mean of both.",
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
        calibrated = calibrate(patina, root, parsed.calibrations, options, unusable) if parsed.calibrations else []

        def simulate(side, seed, *more):
            folder = root / side / str(seed)
            folder.parent.mkdir(parents=True, exist_ok=True)
            done = run([patina, "sim", "run", parsed.scenario, "--seed", str(seed), "--out", folder, *options, *more], timeout=300, expect=None)
            if not (folder / "metrics.json").exists():
                sys.exit(f"{side}, seed {seed}, left no result: {done.stderr.strip()[-1500:]}")

        def live(side, seed):
            folder = root / side / str(seed)
            folder.parent.mkdir(parents=True, exist_ok=True)
            done = run(
                [patina, "live", "run", parsed.scenario, "--seed", str(seed), "--out", folder, *options, *calibrated], timeout=600, expect=None)
            if not (folder / "report.json").exists():
                sys.exit(f"{side}, seed {seed}, left no result: exit {done.returncode}: {done.stderr.strip()[-1500:]}")
            report = json.loads((folder / "report.json").read_text())
            print(f"{side} {seed}: exit {done.returncode} {report.get('shortcomings') or ''}", file=sys.stderr, flush=True)
            if done.returncode != 0:
                reasons = report["shortcomings"] or [f"{each['name']}: {each['detail']}" for each in report["checks"] if each["valid"] is False]
                unusable.append(f"{side}, seed {seed}: exit {done.returncode}: {'; '.join(reasons)}")
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
        both, written = compare("sim", "live"), compare("sim-as-written", "live")
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
        print(f"\nks_propagation of `patina compare --json`, as written: **{written['ks_propagation']:.3f}**, calibrated: **{both['ks_propagation']:.3f}** "
              f"(wanted: at most 0.15); unusable or failed live runs: {len(unusable)} of {len(reports) + parsed.calibrations}")
    return 1 if unusable or max(both["ks_propagation"], written["ks_propagation"]) > 0.15 else 0


if __name__ == "__main__":
    sys.exit(main())
