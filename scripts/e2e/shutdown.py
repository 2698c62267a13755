"""SIGTERM and SIGINT: leave the cluster, finish what was begun, exit 0 in time."""

import http.client
import signal
import threading
import time

from harness import check, check_equal, members_alive, wait_until


def test_sigterm_under_load(workspace):
    """SIGTERM while writers write: exit code 0 within 5 s, what was answered with 200 is there afterwards, peers see it leave."""
    agents = workspace.cluster(3, workspace.authority())
    victim = agents[1]
    acknowledged = [[] for _ in range(4)]

    def write(slot):
        client = victim.client(timeout=10)
        row = slot * 1_000_000
        while True:
            try:
                answer = client.transact([["INSERT INTO rows (id, node) VALUES (?, 'load')", [row]]])
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 200:
                acknowledged[slot].append(row)
            row += 1

    writers = [threading.Thread(target=write, args=(slot,), daemon=True) for slot in range(len(acknowledged))]
    for writer in writers:
        writer.start()
    wait_until(lambda: sum(map(len, acknowledged)) >= 200, 30, "the writers are at work")
    code, took = victim.terminate(seconds=15)
    for writer in writers:
        writer.join(15)
        check(not writer.is_alive(), "a writer hangs after the agent has ended")
    check_equal(code, 0, f"exit code after SIGTERM\n{victim.log_end()}")
    check(took <= 5, f"the agent took {took:.1f} s to exit\n{victim.log_end()}")
    others = [agents[0], agents[2]]
    for agent in others:
        wait_until(lambda agent=agent: members_alive(agent) == 2, 5, f"{agent.name} sees that node-2 left\n{agent.log_end()}")

    victim.start()
    expected = {row for rows in acknowledged for row in rows}
    present = {row[0] for row in victim.client().query("SELECT id FROM rows")}
    check(expected <= present, f"{len(expected - present)} of {len(expected)} acknowledged rows are missing after the restart")
    for agent in others:
        wait_until(
            lambda agent=agent: expected <= {row[0] for row in agent.client().query("SELECT id FROM rows")}, 30,
            f"{agent.name} has every acknowledged row\n{agent.log_end()}", pause=0.2)


def test_sigint_idle(workspace):
    """Ctrl-C ends an idle agent with exit code 0, and the admin socket is gone or answers nobody."""
    (agent,) = workspace.cluster(1)
    began = time.monotonic()
    agent.process.send_signal(signal.SIGINT)
    code = agent.process.wait(10)
    check_equal(code, 0, f"exit code after SIGINT\n{agent.log_end()}")
    check(time.monotonic() - began <= 5, "an idle agent takes more than 5 s to exit")


def test_sigterm_with_open_query(workspace):
    """A client that reads a long answer slowly does not hold the agent back for ever."""
    import json
    import socket
    (agent,) = workspace.cluster(1)
    statements = [["INSERT INTO rows (id, payload) VALUES (?, ?)", [row, "y" * 2000]] for row in range(5000)]
    agent.client(timeout=60).execute(*statements)
    body = json.dumps("SELECT a.id, a.payload FROM rows a, rows b LIMIT 1000000").encode()
    with socket.create_connection(("127.0.0.1", agent.api_port)) as stalled:
        stalled.sendall(
            b"POST /v1/queries HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        check(stalled.recv(100).startswith(b"HTTP/1.1 200"), "the long query is not answered")
        code, took = agent.terminate(seconds=15)
    check_equal(code, 0, f"exit code with an open query\n{agent.log_end()}")
    check(took <= 6, f"the agent took {took:.1f} s to exit\n{agent.log_end()}")
