#!/usr/bin/env python3
"""Runs the end-to-end tests against a patina executable: python3 scripts/e2e/run.py --patina PATH [NAME ...]

Every test is a function `test_...` of a module beside this file. It gets a Workspace, has a bound in seconds, and leaves nothing
behind. The last line is `N passed, N failed`; the exit code is 1 when one failed.
"""

import argparse
import inspect
import pathlib
import signal
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import backup  # noqa: E402
import bad_input  # noqa: E402
import command_line  # noqa: E402
import convergence  # noqa: E402
import database  # noqa: E402
import development  # noqa: E402
import live  # noqa: E402
import recording  # noqa: E402
import reports  # noqa: E402
import security  # noqa: E402
import shutdown  # noqa: E402
import simulation  # noqa: E402
from harness import Failure, Workspace  # noqa: E402

MODULES = [command_line, simulation, reports, bad_input, security, shutdown, convergence, backup, database, development, recording, live]
SECONDS = 120


class OutOfTime(Exception):
    pass


def tests():
    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_") and function.__module__ == module.__name__:
                yield f"{module.__name__}.{name.removeprefix('test_')}", function


def run_one(name, function, arguments):
    """Runs one test and returns what went wrong, or None."""
    bound = getattr(function, "seconds", SECONDS)

    def ring(*_):
        raise OutOfTime(f"the test took longer than its {bound} s")

    workspace = Workspace(arguments.patina, arguments.debug_patina, arguments.keep)
    previous = signal.signal(signal.SIGALRM, ring)
    signal.alarm(bound)
    try:
        function(workspace)
        return None
    except Failure as failure:
        return str(failure)
    except Exception:  # a test must not stop the others, whatever it runs into
        return traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        workspace.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patina", default=".build/release/patina", help="the executable under test")
    parser.add_argument("--debug-patina", help="a debug build, to compare the trace hashes of both")
    parser.add_argument("--keep", action="store_true", help="keep the directories of the tests")
    parser.add_argument("--list", action="store_true", help="print the names of the tests and stop")
    parser.add_argument("names", nargs="*", help="run only tests whose names contain one of these")
    arguments = parser.parse_args()

    chosen = [(name, function) for name, function in tests() if not arguments.names or any(part in name for part in arguments.names)]
    if arguments.list:
        for name, function in chosen:
            print(f"{name:45} {inspect.getdoc(function).splitlines()[0]}")
        return 0
    if not pathlib.Path(arguments.patina).exists():
        print(f"there is no executable {arguments.patina}: run `make release` first", file=sys.stderr)
        print("0 passed, 1 failed")
        return 1

    passed = failed = 0
    for name, function in chosen:
        began = time.monotonic()
        problem = run_one(name, function, arguments)
        took = time.monotonic() - began
        if problem is None:
            passed += 1
            print(f"ok      {name} ({took:.1f} s)", flush=True)
        else:
            failed += 1
            indented = "\n".join("    " + line for line in problem.rstrip().splitlines())
            print(f"FAILED  {name} ({took:.1f} s)\n{indented}", flush=True)
    if not chosen:
        print("no test has such a name", file=sys.stderr)
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
