"""Three live agents agree, whatever happens to one of them, and a large transaction is whole or absent."""

import hashlib
import http.client
import json
import threading
import time

from harness import Failure, check, check_equal, wait_for_equal_dumps, wait_until

ROWS = 1000


class Writer(threading.Thread):
    """Writes ROWS transactions at one agent: a row of its own each, and an update of a row that all writers fight for.

    A transaction that was not answered is tried again: the upsert makes that harmless. `acknowledged` holds the ids of the rows
    that were answered with 200.
    """

    def __init__(self, agent, number):
        super().__init__(daemon=True)
        self.agent = agent
        self.number = number
        self.acknowledged = []
        self.refused = None
        self.stop = False

    def run(self):
        client = self.agent.client(timeout=10)
        for index in range(ROWS):
            row = self.number * ROWS + index
            payload = hashlib.sha256(str(row).encode()).hexdigest()
            statements = [
                ["INSERT INTO rows (id, node, number, payload) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET number = excluded.number",
                 [row, self.agent.name, index, payload]],
                ["INSERT INTO shared (name, value, ratio) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                 [f"key-{index % 50}", row, row / 7]],
            ]
            while not self.stop:
                try:
                    answer = client.transact(statements)
                except (OSError, http.client.HTTPException):
                    time.sleep(0.02)
                    continue
                if answer.status == 200:
                    self.acknowledged.append(row)
                    break
                if answer.status != 503:
                    self.refused = f"{self.agent.name} answered {answer.status}: {answer.text[:300]}"
                    return
                time.sleep(0.02)


def test_sigkill_in_the_middle(workspace):
    """1,000 rows at each of three nodes, one of which is killed and restarted: equal dumps, nothing acknowledged is lost."""
    agents = workspace.cluster(3, workspace.authority())
    writers = [Writer(agent, number) for number, agent in enumerate(agents)]
    victim, victims_writer = agents[2], writers[2]
    for writer in writers:
        writer.start()
    try:
        wait_until(lambda: len(victims_writer.acknowledged) >= ROWS * 2 // 5, 60, "the victim took two fifths of its rows", pause=0.005)
        check(victims_writer.is_alive(), "the victim's writer was through before the kill: the test tests nothing")
        victim.kill()
        time.sleep(1)
        victim.start()
        for writer in writers:
            writer.join(90)
            check(not writer.is_alive(), f"{writer.agent.name} took only {len(writer.acknowledged)} rows\n{writer.agent.log_end()}")
            check(writer.refused is None, writer.refused)
    finally:
        for writer in writers:
            writer.stop = True

    wait_for_equal_dumps(agents, 60)
    expected = sorted(row for writer in writers for row in writer.acknowledged)
    check_equal(len(expected), 3 * ROWS, "acknowledged rows")
    for agent in agents:
        present = [row[0] for row in agent.client().query("SELECT id FROM rows ORDER BY id")]
        missing = sorted(set(expected) - set(present))
        check(not missing, f"{agent.name} lacks {len(missing)} acknowledged rows, first {missing[:5]}")
        check_equal(agent.client().scalar("SELECT count(*) FROM shared"), 50, f"shared rows of {agent.name}")
    for agent in agents:
        code, _ = agent.terminate()
        check_equal(code, 0, f"exit code of {agent.name}")


test_sigkill_in_the_middle.seconds = 240


def test_large_transaction(workspace):
    """A transaction of 20,000 rows and 5 MB arrives whole; readers that poll never see a part of it."""
    agents = workspace.cluster(3, workspace.authority())
    count, payload = 20_000, "x" * 250
    statements = [["INSERT INTO rows (id, node, payload) VALUES (?, 'large', ?)", [row, f"{row:06}{payload}"]] for row in range(count)]
    check(count * len(payload) >= 5_000_000, "the transaction is smaller than promised")
    body = json.dumps(statements).encode()

    seen = {agent.name: set() for agent in agents}
    problems = []
    stop = threading.Event()

    def poll(agent, through_http):
        question = "SELECT count(*) FROM rows WHERE node = 'large'"
        try:
            client, connection = agent.client(), agent.open()
            while not stop.is_set():
                number = client.scalar(question) if through_http else connection.execute(question).fetchone()[0]
                seen[agent.name].add(number)
                time.sleep(0.002)
            connection.close()
        except Exception as error:  # reported by the test's own thread
            problems.append(f"reader of {agent.name}: {error}")

    readers = [threading.Thread(target=poll, args=(agent, http), daemon=True) for agent in agents for http in (True, False)]
    for reader in readers:
        reader.start()
    try:
        answer = agents[0].client(timeout=60).request("POST", "/v1/transactions", body)
        check_equal(answer.status, 200, f"large transaction ({answer.text[:200]})")
        check_equal(len(answer.json["results"]), count, "results of the large transaction")
        for agent in agents:
            wait_until(lambda agent=agent: count in seen[agent.name], 60, f"{agent.name} has the large transaction\n{agent.log_end()}")
    finally:
        stop.set()
    for reader in readers:
        reader.join(10)
    check(not problems, "; ".join(problems))
    for name, numbers in seen.items():
        check(numbers <= {0, count}, f"a reader of {name} saw a part of the transaction: {sorted(numbers)[:10]}")
        check(0 in numbers, f"the readers of {name} began too late: the test tests nothing")
    wait_for_equal_dumps(agents, 30)


def test_late_joiner(workspace):
    """An agent that joins a cluster with data gets all of it, deletions included, and its own writes reach the others."""
    authority = workspace.authority()
    first, second = workspace.cluster(2, authority)
    client = first.client()
    for row in range(200):
        client.execute(["INSERT INTO rows (id, node, payload) VALUES (?, ?, ?)", [row, "first", "payload"]])
    client.execute("DELETE FROM rows WHERE id < 50")
    client.execute(["INSERT INTO shared (name, value, ratio, data) VALUES (?, ?, ?, ?)", ["kinds", None, 1.5, [0, 255, 128]]])
    from harness import Agent
    third = Agent(workspace, "node-3", [first], authority).start()
    wait_for_equal_dumps([first, second, third], 30)
    third.client().execute(["UPDATE shared SET value = ? WHERE name = ?", [7, "kinds"]])
    dump = wait_for_equal_dumps([first, second, third], 30)
    check(b"shared ('kinds', 7, 1.5, b'\\x00\\xff\\x80')" in dump, f"the written values differ: {dump[-200:]}")
    check_equal(dump.count(b"rows ("), 150, "rows after the deletion")


def test_propagation_is_prompt(workspace):
    """A write is readable at the other nodes in well under a second, so it came by broadcast and not by periodic sync."""
    agents = workspace.cluster(3, workspace.authority())
    clients = [agent.client() for agent in agents]
    delays = []
    for row in range(20):
        clients[row % 3].execute(["INSERT INTO rows (id, node) VALUES (?, 'prompt')", [row]])
        began = time.monotonic()
        for client in clients:
            while client.scalar(["SELECT count(*) FROM rows WHERE id = ?", [row]]) == 0:
                if time.monotonic() - began > 10:
                    raise Failure(f"row {row} did not arrive within 10 s\n" + "\n".join(agent.log_end() for agent in agents))
                time.sleep(0.001)
        delays.append(time.monotonic() - began)
    delays.sort()
    check(delays[len(delays) // 2] < 0.25, f"the median propagation took {delays[len(delays) // 2]:.3f} s")
