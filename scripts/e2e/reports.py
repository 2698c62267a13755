"""What a run leaves behind: pages in a real browser, metrics, swarms on several processes, shrinking, replay, comparison."""

import json
import re
import shutil

from harness import check, check_equal, run

HEAL = "scenarios/smoke/partition-heal.toml"
SWARM = "scenarios/smoke/swarm-five.toml"
FIGURES = {
    "propagation-cdf", "latency-median", "latency-tail", "messages", "bytes", "agreement", "convergence", "timeline", "lamport",
}


def sim(workspace, *arguments, expect=0, timeout=300):
    return run([workspace.patina, "sim", *arguments], cwd=workspace.root, expect=expect, timeout=timeout)


def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    check(found, "there is no Chromium: run `make deps`")
    return [found, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=2000"]


def test_page(workspace):
    """The page of a run opens in headless Chromium, light and dark: every chart is drawn, and nothing is asked of the network."""
    out = workspace.directory / "run"
    sim(workspace, "run", "scenarios/negative/false-alarm.toml", "--out", out, expect=1)
    page = (out / "report.html").resolve()
    profile = workspace.directory / "profile"
    # What is drawn is what the browser made of the file, not the file itself.
    dom = run([*browser(), f"--user-data-dir={profile}", "--dump-dom", f"file://{page}"], timeout=90).stdout
    check_equal(set(re.findall(r'<figure id="([\w-]+)"', dom)), FIGURES, "charts on the page")
    figures = {name: body for name, body in re.findall(r'<figure id="([\w-]+)".*?>(.*?)</figure>', dom, re.DOTALL)}
    for name in ("messages", "bytes", "agreement", "convergence", "timeline", "lamport"):
        check(len(re.findall(r"<(?:path|rect)\b", figures[name])) > 10, f"the chart {name} is nearly empty")
    check("first violation" in figures["lamport"], "the Lamport diagram does not say what it is around")
    check("never declared-down" in dom, "the page does not name the violated check")
    for pattern in (r"<script", r"https?://", r"@import", r"<link", r"<img", r"<iframe"):
        check(not re.search(pattern, page.read_text()), f"the page has {pattern}")
    shots = {}
    # In Blink's settings 0 is dark, 1 is light.
    for name, scheme in (("dark", 0), ("light", 1)):
        shot = workspace.directory / f"{name}.png"
        run([*browser(), f"--user-data-dir={profile}", f"--blink-settings=preferredColorScheme={scheme}", "--window-size=1240,2400",
             f"--screenshot={shot}", f"file://{page}"], timeout=90)
        shots[name] = shot.read_bytes()
        check(len(shots[name]) > 40_000, f"the {name} page is blank: {len(shots[name])} bytes")
    check(shots["dark"] != shots["light"], "the page looks the same in the dark")


def test_files(workspace):
    """metrics.json and trace.json are JSON with what their documents say, and --out does not change the trace."""
    out = workspace.directory / "run"
    plain = json.loads(sim(workspace, "run", HEAL, "--json").stdout)
    kept = json.loads(sim(workspace, "run", HEAL, "--json", "--out", out).stdout)
    check_equal(kept["trace_hash"], plain["trace_hash"], "trace hash of a recorded run")
    metrics = json.loads((out / "metrics.json").read_text())
    check_equal((metrics["format"], metrics["engine"], metrics["nodes"]), (1, "sim", 20), "head of metrics.json")
    check_equal(metrics["metrics"], kept["metrics"], "metrics of both files")
    buckets = metrics["distributions"]["propagation"]["buckets"]
    check_equal(sum(count for _, count in buckets), kept["metrics"]["propagation.count"], "deliveries in the distribution")
    lengths = {len(values) for name, values in metrics["series"].items() if name != "interval_seconds"}
    check_equal(len(lengths), 1, "lengths of the series")
    trace = json.loads((out / "trace.json").read_text())
    names = {event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M" and event["name"] == "process_name"}
    check({"node 0", "node 19", "faults"} <= names, f"processes of the trace: {sorted(names)}")
    check(trace["otherData"]["messages_left_out"] >= 0, "the trace does not say what is left out")
    check((out / "trace.json").stat().st_size < 20_000_000, "the trace is larger than its bounds allow")


def test_swarm(workspace):
    """A swarm on two processes: shards make the whole, a failure stops it, and its line and its folder fail again."""
    whole = json.loads(sim(workspace, "swarm", SWARM, "--seeds", "12", "--jobs", "2", "--json").stdout)
    check_equal((whole["runs"], whole["valid"]), (12, True), "runs of the swarm")
    for shard in ("1/2", "2/2"):
        sim(workspace, "swarm", SWARM, "--seeds", "12", "--shard", shard, "--out", workspace.directory / shard[0])
    merged = json.loads(sim(
        workspace, "merge", "--json", workspace.directory / "1" / "swarm.json", workspace.directory / "2" / "swarm.json").stdout)
    check_equal((merged["digest"], merged["coverage"]), (whole["digest"], whole["coverage"]), "the merged shards against the whole")

    failing = workspace.directory / "failing.toml"
    failing.write_text((workspace.root / SWARM).read_text() + '\n[[check]]\nnever = "datagram-lost"\n')
    out = workspace.directory / "failures"
    done = sim(workspace, "swarm", failing, "--seeds", "50", "--out", out, expect=1)
    lines = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith("reproduce with: ")]
    check(lines and "--swarm" in lines[0], f"lines that reproduce a failure: {lines}")
    again = run([workspace.patina, *lines[0].split()[1:], "--json"], cwd=workspace.root, expect=1)
    report = json.loads(again.stdout)
    folder = json.loads((out / f"seed-{report['seed']}" / "report.json").read_text())
    check_equal(folder["trace_hash"], report["trace_hash"], "trace hash of the kept folder")
    for options in (["--shard", "3/2"], ["--shard", "0/2"], ["--shard", "x"], ["--seeds", "0"]):
        sim(workspace, "swarm", SWARM, *options, expect=2)
    sim(workspace, "merge", failing, expect=2)


test_swarm.seconds = 300


def test_shrink_and_replay(workspace):
    """A failing run shrinks to a small scenario that fails; a run replays, stops, and notices another trace."""
    small = workspace.directory / "small.toml"
    sim(workspace, "shrink", "scenarios/negative/never-healed.toml", "--out", small, timeout=400)
    text = small.read_text()
    check(len(re.findall(r"^\[\[fault\]\]", text, re.MULTILINE)) <= 5, f"the small scenario has many faults:\n{text}")
    check(int(re.search(r"^nodes = (\d+)", text, re.MULTILINE)[1]) <= 4, f"the small scenario has many nodes:\n{text}")
    out = workspace.directory / "small"
    sim(workspace, "run", small, "--out", out, expect=1)
    check("identical" in sim(workspace, "replay", out).stdout, "a run is not identical to itself")
    shown = sim(workspace, "replay", out, "--until", "2s", "--node", "0").stdout
    check("stopped after step" in shown and "node 0: " in shown, f"replay --until: {shown[:500]}")
    sim(workspace, "replay", out, "--until", "nonsense", expect=2)
    report = out / "report.json"
    report.write_text(re.sub(r'"trace_hash": "\w+"', f'"trace_hash": "{"0" * 32}"', report.read_text()))
    check("different" in sim(workspace, "replay", out, expect=1).stdout, "another trace hash is not noticed")
    report.write_text("{")
    sim(workspace, "replay", out, expect=2)
    sim(workspace, "shrink", HEAL, expect=2)


test_shrink_and_replay.seconds = 600


def test_compare(workspace):
    """Two results of several runs: text, JSON and HTML; a slower network is noticed, the same one is not."""
    for name, options in (("a", []), ("b", []), ("slow", ["--set", "link.0.latency=40ms"])):
        for seed in range(1, 4):
            seed = seed + (10 if name == "b" else 0)
            sim(workspace, "run", "scenarios/smoke/three-nodes.toml", "--seed", str(seed), *options,
                "--out", workspace.directory / name / str(seed))

    def compare(*arguments, expect=0):
        return run([workspace.patina, "compare", *arguments], cwd=workspace.directory, expect=expect).stdout

    same = json.loads(compare("a", "b", "--json", "--ks-at-most", "0.3"))
    slow = json.loads(compare("a", "slow", "--floor", "b", "--json"))
    check(same["ks_propagation"] < 0.3 < 0.9 < slow["ks_propagation"], f"KS {same['ks_propagation']} and {slow['ks_propagation']}")
    check_equal((same["a"]["runs"], same["b"]["runs"]), (3, 3), "runs")
    check("floor_ks_propagation" in slow, "the floor is missing")
    compare("a", "slow", "--ks-at-most", "0.3", expect=1)
    compare("a", "nothing", expect=2)
    check("propagation" in compare("a", "b"), "the text does not name the distribution")
    check("<figure" in compare("a", "b", "--html"), "the page has no chart")
