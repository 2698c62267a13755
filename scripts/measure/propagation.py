#!/usr/bin/env python3
"""Time from a commit over HTTP at one live agent until the row is readable at its peers, on loopback."""

import contextlib
import sqlite3
import threading
import time

from common import Workspace, arguments, milliseconds, percentile, print_fragment


class Watcher(threading.Thread):
    """Polls the database file of a peer, as a program beside that agent would, and notes when each row is first there."""

    def __init__(self, agent):
        super().__init__(daemon=True)
        self.agent = agent
        self.seen = {}
        self.stop = False

    def run(self):
        with contextlib.closing(self.agent.open()) as connection:
            lowest = 0  # every row below was seen; rows may arrive in any order
            while not self.stop:
                try:
                    rows = connection.execute("SELECT id FROM rows WHERE id >= ?", [lowest]).fetchall()
                except sqlite3.OperationalError:
                    continue
                now = time.perf_counter()
                for (row,) in rows:
                    self.seen.setdefault(row, now)
                while lowest in self.seen:
                    lowest += 1
                time.sleep(0.0001)


def main():
    parsed = arguments(__doc__, writes=(1000, "writes that are timed"), pause=(10, "milliseconds between writes"))
    workspace = Workspace(parsed.patina)
    try:
        agents = workspace.cluster(3, workspace.authority())
        watchers = [Watcher(agent) for agent in agents[1:]]
        for watcher in watchers:
            watcher.start()
        client = agents[0].client()
        sent, answered = {}, {}
        for row in range(-50, parsed.writes):
            began = time.perf_counter()
            client.execute(["INSERT INTO rows (id, node, payload) VALUES (?, 'node-1', ?)", [row, "x" * 100]])
            if row >= 0:
                sent[row], answered[row] = began, time.perf_counter()
            time.sleep(parsed.pause / 1000)
        deadline = time.monotonic() + 30
        while any(len(watcher.seen) < parsed.writes for watcher in watchers) and time.monotonic() < deadline:
            time.sleep(0.05)
        missing = sum(parsed.writes - len(watcher.seen) for watcher in watchers)
        assert missing == 0, f"{missing} rows did not arrive within 30 s"
        for watcher in watchers:
            watcher.stop = True
            watcher.join()
        after_answer = [max(0.0, watcher.seen[row] - answered[row]) for watcher in watchers for row in answered]
        after_request = [watcher.seen[row] - sent[row] for watcher in watchers for row in sent]
        round_trip = [answered[row] - sent[row] for row in sent]
        rows = [
            [name, milliseconds(percentile(values, 50)), milliseconds(percentile(values, 99)), milliseconds(max(values)), len(values)]
            for name, values in (
                ("answer 200 → row readable at a peer (earlier counts as 0)", after_answer),
                ("request sent → row readable at a peer", after_request),
                ("request sent → answer 200 (the write itself)", round_trip))]
        print_fragment(
            "Propagation between live agents",
            f"Three agents with mutual TLS on loopback; single-row transactions at the first over HTTP, one every {parsed.pause} ms and more; "
            "a reader beside each of the two others polls the database file about 5,000 times a second.",
            ["from → to", "p50", "p99", "max", "samples"], rows)
    finally:
        workspace.close()


if __name__ == "__main__":
    main()
