"""What the measurements share: arguments, percentiles, Markdown, and a description of the machine."""

import argparse
import os
import pathlib
import platform
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from harness import Agent, Workspace, run  # noqa: E402,F401


def arguments(description, **extra):
    """Parses --patina and what the measurement adds, given as NAME=(default, help)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--patina", default=".build/release/patina", help="the executable to measure")
    for name, (default, text) in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default, help=f"{text} (default: {default})")
    parsed = parser.parse_args()
    if not pathlib.Path(parsed.patina).exists():
        sys.exit(f"there is no executable {parsed.patina}: run `make release` first")
    return parsed


def percentile(values, share):
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * share // 100) - 1))]


def milliseconds(seconds):
    return f"{seconds * 1000:.2f} ms"


def print_fragment(title, text, columns, rows):
    """A section of Markdown: what was measured and how, the command, and a table."""
    command = f"python3 {pathlib.Path(sys.argv[0]).resolve().relative_to(pathlib.Path(__file__).resolve().parents[2])} "
    command += " ".join(sys.argv[1:])
    print(f"## {title}\n\n{text}\n\n```sh\n{command.strip()}\n```\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "|".join("---" if index == 0 else "---:" for index in range(len(columns))) + "|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def machine():
    """One line about where the figures come from."""
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def cpu_seconds(pid):
    """Processor time that a process has used so far, in user and system mode."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2:].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
