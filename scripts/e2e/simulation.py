"""The simulator through its command line: determinism, judgement, exit codes."""

import concurrent.futures
import json
import pathlib
import re

from harness import check, check_equal, run

KEYS = {
    "scenario", "scenario_hash", "seed", "valid", "trace_hash", "sim_seconds", "wall_seconds", "events", "messages_delivered",
    "bytes_delivered", "checks", "metrics",
}
# Scenarios of more nodes are the business of `make test-scale`.
MOST_NODES = 1_500
HEAL = "scenarios/smoke/partition-heal.toml"


def scenarios(workspace, folder=""):
    found = sorted(path.relative_to(workspace.root) for path in (workspace.root / "scenarios" / folder).rglob("*.toml"))
    return [scenario for scenario in found if nodes(workspace, scenario) <= MOST_NODES]


def nodes(workspace, scenario):
    """How many nodes the scenario has."""
    return int(re.search(r"^nodes\s*=\s*(\d+)", (workspace.root / scenario).read_text(), re.MULTILINE)[1])


def simulate(workspace, scenario, *options, patina=None, expect=None, timeout=600):
    return run(
        [patina or workspace.patina, "sim", "run", scenario, *options], cwd=workspace.root, timeout=timeout, expect=expect)


def report(workspace, scenario, *options, **how):
    done = simulate(workspace, scenario, "--json", *options, **how)
    check(done.returncode in (0, 1), f"{scenario} exits {done.returncode}: {done.stderr[-800:]}")
    value = json.loads(done.stdout)
    check(KEYS <= set(value), f"{scenario}: the report lacks {KEYS - set(value)}")
    check_equal(value["valid"], done.returncode == 0, f"{scenario}: valid against the exit code")
    check(re.fullmatch(r"[0-9a-f]{32}", value["trace_hash"]), f"{scenario}: trace hash {value['trace_hash']!r}")
    for each in value["checks"]:
        check({"name", "valid", "detail"} <= set(each), f"{scenario}: a check is {each}")
    return value


def test_trace_hashes(workspace):
    """Every scenario: 3 processes, debug and release, give one hash and the verdict that the file is meant to have; another seed gives
    another hash."""
    # Hashing is randomised by default in every Swift process; nothing here switches that off.
    def one(scenario):
        runs = [report(workspace, scenario) for _ in range(3)]
        found = {each["trace_hash"] for each in runs}
        check_equal(len(found), 1, f"{scenario}: distinct trace hashes over 3 processes")
        fails = any(not name.startswith("sometimes ") for name in must_fail(workspace, scenario))
        check_equal([each["valid"] for each in runs], [not fails] * 3, f"{scenario}: verdicts of 3 processes")
        if workspace.debug_patina:
            # A debug build needs a quarter of an hour for a thousand nodes; sixty nodes run the same code.
            smaller = ["--set", "topology.nodes=60"] if nodes(workspace, scenario) > 200 else []
            release = report(workspace, scenario, *smaller)["trace_hash"]
            debug = report(workspace, scenario, *smaller, patina=workspace.debug_patina)["trace_hash"]
            check_equal(debug, release, f"{scenario} {smaller}: trace hash of the debug build")
        other = report(workspace, scenario, "--seed", "987654321")["trace_hash"]
        check(other not in found, f"{scenario}: another seed gives the same trace hash")

    found = scenarios(workspace)
    check(len(found) >= 6, f"only {len(found)} scenarios")
    # The longest first, so that both cores are busy to the end.
    found.sort(key=lambda scenario: -nodes(workspace, scenario))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in pool.map(one, found):
            pass


test_trace_hashes.seconds = 1800


def test_scenarios_hold(workspace):
    """Every scenario that is not negative exits 0; its summary names the checks and the trace hash."""
    def one(scenario):
        out = workspace.directory / "-".join(scenario.parts)
        shown = simulate(workspace, scenario, "--out", str(out), expect=0).stdout
        value = json.loads((out / "report.json").read_text())
        for word in [each["name"] for each in value["checks"]] + [value["trace_hash"], value["scenario"]]:
            check(word in shown, f"{scenario}: the summary does not say {word}\n{shown}")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in pool.map(one, [each for each in scenarios(workspace) if "negative" not in each.parts]):
            pass


test_scenarios_hold.seconds = 600


def declared_seeds(workspace, scenario):
    """The seeds that the file names; the first ten, so that the whole stays within minutes."""
    text = (workspace.root / scenario).read_text()
    counted = re.search(r"^seeds\s*=\s*\{\s*from\s*=\s*(\d+),\s*count\s*=\s*(\d+)", text, re.MULTILINE)
    if counted:
        first, count = int(counted[1]), int(counted[2])
        return list(range(first, first + count))[:10]
    listed = re.search(r"^seeds\s*=\s*\[([\d,\s]+)\]", text, re.MULTILINE)
    return [int(seed) for seed in listed[1].split(",")][:10] if listed else [1]


def test_declared_seeds(workspace):
    """Every scenario holds with the first ten of the seeds that it names, and fails with them where it must; what must happen in one does."""
    def one(scenario):
        fails = must_fail(workspace, scenario)
        must_be_missing = {name for name in fails if name.startswith("sometimes ")}
        seeds = declared_seeds(workspace, scenario)
        missing = None
        for seed in seeds[:3] if "negative" in scenario.parts else seeds:
            value = report(workspace, scenario, "--seed", str(seed))
            wrong = [each["name"] for each in value["checks"] if not each["valid"]]
            check_equal(value["valid"], fails == must_be_missing, f"{scenario} with seed {seed}: valid; violated: {wrong}")
            never = {each["name"] for each in value["checks"] if each["name"].startswith("sometimes ") and each["occurrences"] == 0}
            missing = never if missing is None else missing & never
        check_equal(missing, must_be_missing, f"{scenario}: in none of the seeds {seeds}")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in pool.map(one, [each for each in scenarios(workspace) if "scale" not in each.parts]):
            pass


test_declared_seeds.seconds = 600


def must_fail(workspace, scenario):
    """The checks that a scenario must fail without a mutant."""
    is_negative = "negative" in scenario.parts and not mutants(workspace, scenario)
    return set(failing(workspace, scenario)) if is_negative else set()


def failing(workspace, scenario):
    """The checks that a scenario says it must fail."""
    text = (workspace.root / scenario).read_text()
    lines = re.findall(r"^# fails: (.*)$", text, re.MULTILINE)
    return [name.strip() for line in lines for name in line.split(",")]


def mutants(workspace, scenario):
    """The mistakes with which a scenario must fail; none for one that fails by itself."""
    text = (workspace.root / scenario).read_text()
    return [name.strip() for line in re.findall(r"^# mutants: (.*)$", text, re.MULTILINE) for name in line.split(",")]


def test_mutants(workspace):
    """Each scenario that names mutants holds without them, and fails with each of them within 500 seeds."""
    found = [each for each in scenarios(workspace, "negative") if mutants(workspace, each)]
    check(found, "no scenario names a mutant")
    listed = run([workspace.patina, "sim", "mutants", "--list"], cwd=workspace.root, expect=0, timeout=60).stdout
    for scenario in found:
        check(report(workspace, scenario, "--seed", "1")["valid"], f"{scenario} fails without a mutant")
        for name in mutants(workspace, scenario):
            check(f"`{name}`" in listed, f"{scenario}: {name} is not listed")
            for seed in range(1, 501):
                done = run(
                    [workspace.patina, "sim", "run", scenario, "--seed", str(seed), "--mutant", name], cwd=workspace.root, expect=None, timeout=120)
                check(done.returncode in (0, 1), f"{scenario} with {name}: exit {done.returncode}: {done.stderr}")
                if done.returncode == 1:
                    check(f"--mutant {name}" in done.stdout, f"{scenario} with {name}: the line that reproduces it does not name it")
                    print(f"    {name} dies in {scenario} at seed {seed}")
                    break
            else:
                check(False, f"{name} survives 500 seeds of {scenario}")
    done = run([workspace.patina, "sim", "run", found[0], "--mutant", "none-such"], cwd=workspace.root, expect=2, timeout=60)
    check("none-such" in done.stderr, f"an unknown mutant: {done.stderr}")


test_mutants.seconds = 900


def test_negative_scenarios(workspace):
    """A negative scenario exits 1, names the violated property, and prints one line that fails again with the same trace."""
    found = [each for each in scenarios(workspace, "negative") if not mutants(workspace, each)]
    check(found, "there is no negative scenario without a mutant")
    # That something never happens is not a matter of one seed: `sim swarm` says so.
    vacuous = [each for each in found if all(name.startswith("sometimes ") for name in must_fail(workspace, each))]
    check(vacuous, "there is no negative scenario for `sometimes`")
    for scenario in vacuous:
        done = run([workspace.patina, "sim", "swarm", scenario, "--seeds", "3", "--jobs", "1"], cwd=workspace.root, expect=1, timeout=300)
        for name in must_fail(workspace, scenario):
            check(name in done.stdout + done.stderr, f"{scenario}: the swarm does not name {name}\n{done.stdout}")
    for scenario in [each for each in found if each not in vacuous]:
        done = simulate(workspace, scenario, expect=1)
        value = report(workspace, scenario)
        violated = [each["name"] for each in value["checks"] if not each["valid"]]
        check(violated, f"{scenario}: no check is violated")
        shown = done.stdout + done.stderr
        for name in violated:
            check(name in shown, f"{scenario}: the output does not name {name}\n{shown}")
        lines = [line.strip() for line in shown.splitlines() if "patina sim run" in line]
        check_equal(len(lines), 1, f"{scenario}: lines that reproduce the run\n{shown}")
        command = lines[0][lines[0].index("patina sim run"):].split()
        check("--seed" in command, f"the line has no seed: {lines[0]}")
        again = run([workspace.patina, *command[1:], "--json"], cwd=workspace.root, expect=1, timeout=300)
        check_equal(json.loads(again.stdout)["trace_hash"], value["trace_hash"], f"{scenario}: trace hash of the reproduced run")


test_negative_scenarios.seconds = 300


def test_typos(workspace):
    """A scenario with a typo, a wrong type or bad TOML, and bad flags: exit 2, naming line and suggestion."""
    text = (workspace.root / HEAL).read_text()
    number = next(index for index, line in enumerate(text.splitlines(), 1) if line.startswith("duration"))
    lines = text.splitlines()
    lines[number - 1] = lines[number - 1].replace("duration", "duraton", 1)
    misspelt = workspace.directory / "misspelt.toml"
    misspelt.write_text("\n".join(lines) + "\n")
    done = simulate(workspace, misspelt, expect=2)
    for word in (f"misspelt.toml:{number}", "duraton", "duration"):
        check(word in done.stderr, f"a typo: stderr does not say {word!r}: {done.stderr}")

    broken = workspace.directory / "broken.toml"
    broken.write_text(text + "\n[run\n")
    done = simulate(workspace, broken, expect=2)
    check("broken.toml" in done.stderr, f"broken TOML: {done.stderr}")
    # A reader that asserts what a text may well not be ends the process on these.
    for poison in ("[=]", "[.]", "at = 10:2", "at = 2026-11-22T1"):
        broken.write_text(poison + "\n" + text)
        done = simulate(workspace, broken, expect=2)
        check("broken.toml:1: not valid TOML" in done.stderr, f"{poison}: {done.stderr}")
    done = simulate(workspace, workspace.directory / "nothing.toml", expect=2)
    check("nothing.toml" in done.stderr, f"no file: {done.stderr}")

    for options, word in (
        (["--set", "run.duraton=5s"], "duration"),
        (["--set", "run.duration"], "--set"),
        (["--set", "run.duration=soon"], "soon"),
        (["--seed", "many"], "--seed"),
        (["--seed", "-1"], "--seed"),
        (["--sede", "1"], "--sede"),
    ):
        done = simulate(workspace, HEAL, *options, expect=2)
        check(word in done.stderr, f"{options}: stderr does not say {word!r}: {done.stderr}")
        check(done.stdout == "", f"{options}: output of a run that was not judged: {done.stdout[:200]}")


def test_partition_heal_seeds(workspace):
    """25 random seeds of partition-heal hold, 20 nodes each."""
    seeds = [workspace.random.randrange(1 << 63) for _ in range(25)]
    text = (workspace.root / HEAL).read_text()
    check(re.search(r"^nodes\s*=\s*20\b", text, re.MULTILINE), "partition-heal does not have 20 nodes")

    def one(seed):
        value = report(workspace, HEAL, "--seed", str(seed))
        check_equal(value["seed"], seed, "seed of the report")
        broken = [(each["name"], each["detail"]) for each in value["checks"] if not each["valid"]]
        check(value["valid"], f"seed {seed}: {broken}")
        return value["trace_hash"]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        hashes = list(pool.map(one, seeds))
    check_equal(len(set(hashes)), len(seeds), "distinct trace hashes of 25 seeds")


test_partition_heal_seeds.seconds = 600


def test_output_directory(workspace):
    """--out writes the report and what is needed to run it again; --set changes the run and its scenario hash."""
    out = workspace.directory / "out"
    value = report(workspace, HEAL, "--out", str(out))
    stored = json.loads((out / "report.json").read_text())
    check_equal(stored["trace_hash"], value["trace_hash"], "trace hash of the stored report")
    check((out / "scenario.toml").exists(), "the output has no scenario.toml")
    shorter = report(workspace, HEAL, "--set", "topology.nodes=6")
    check(shorter["scenario_hash"] != value["scenario_hash"], "--set does not change the scenario hash")
    check(shorter["trace_hash"] != value["trace_hash"], "--set does not change the trace hash")
    unwritable = workspace.directory / "file"
    unwritable.write_text("")
    done = simulate(workspace, HEAL, "--out", str(unwritable / "below"), expect=2)
    check("below" in done.stderr, f"an output directory that cannot be made: {done.stderr}")


def test_working_directory(workspace):
    """A scenario runs from any directory, to the same hash."""
    here = report(workspace, HEAL)["trace_hash"]
    done = run([workspace.patina, "sim", "run", workspace.root / HEAL, "--json"], cwd=pathlib.Path("/"), expect=0, timeout=120)
    check_equal(json.loads(done.stdout)["trace_hash"], here, "trace hash from another directory")
