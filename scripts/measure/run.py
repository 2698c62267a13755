#!/usr/bin/env python3
"""Runs all measurements, or those named, one after another, and prints results/skeleton.md's sections."""

import argparse
import pathlib
import subprocess
import sys

from common import machine

MEASUREMENTS = ["simulation", "propagation", "throughput", "idle", "recording"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patina", default=".build/release/patina", help="the executable to measure")
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(MEASUREMENTS)}")
    parsed = parser.parse_args()
    unknown = set(parsed.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    print(f"Measured on {machine()}. Clients and agents share these cores.\n", flush=True)
    code = 0
    here = pathlib.Path(__file__).resolve().parent
    for name in parsed.names or MEASUREMENTS:
        code |= subprocess.run([sys.executable, here / f"{name}.py", "--patina", parsed.patina], check=False).returncode
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
