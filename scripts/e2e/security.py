"""Who may not come in does not, and the log says why."""

import re
import time

from harness import Agent, check, check_equal, members_alive, wait_until

REASON = re.compile(r"certificate|handshake|unknown ca|not trusted|verification", re.IGNORECASE)


def test_certificate_of_another_authority(workspace):
    """An agent whose certificate comes from another authority gets in nowhere, and both logs name the certificate."""
    agents = workspace.cluster(2, workspace.authority())
    stranger = Agent(workspace, "stranger", agents, workspace.authority("other-authority")).start()
    agents[0].client().execute(["INSERT INTO rows (id, node) VALUES (1, 'secret')", []])
    stranger.client().execute(["INSERT INTO rows (id, node) VALUES (2, 'smuggled')", []])

    wait_until(
        lambda: REASON.search(stranger.log_text()), 20, f"the stranger's log says why it gets nowhere\n{stranger.log_end()}", pause=0.2)
    wait_until(
        lambda: any(REASON.search(agent.log_text()) for agent in agents), 20,
        f"a member's log says whom it refused, and why\n{agents[0].log_end()}\n{agents[1].log_end()}", pause=0.2)
    time.sleep(3)
    for agent in agents:
        agent.check_alive("beside the stranger")
        check_equal(members_alive(agent), 2, f"members that {agent.name} sees")
        check_equal(agent.client().query("SELECT id FROM rows ORDER BY id"), [[1]], f"rows of {agent.name}")
        check(str(stranger.gossip_port) not in str(agent.members()), f"{agent.name} lists the stranger")
    check_equal(stranger.client().query("SELECT id FROM rows"), [[2]], "rows of the stranger")
    check_equal(members_alive(stranger), 1, "members that the stranger sees")


def test_plaintext_agent_meets_mutual_tls(workspace):
    """An agent without any certificate of the cluster gets in nowhere either."""
    (agent,) = workspace.cluster(1, workspace.authority())
    stranger = Agent(workspace, "stranger", [agent]).start()
    check(re.search(r"plaintext|no verification|not verified|unverified", stranger.log_text(), re.IGNORECASE),
          f"plaintext = true starts without a warning\n{stranger.log_end()}")
    agent.client().execute(["INSERT INTO rows (id, node) VALUES (1, 'secret')", []])
    time.sleep(5)
    agent.check_alive("beside the stranger")
    check_equal(members_alive(agent), 1, "members that the agent sees")
    check_equal(stranger.client().query("SELECT id FROM rows"), [], "rows of the stranger")


def test_plaintext_cluster(workspace):
    """Two agents with plaintext = true find each other and replicate."""
    first, second = workspace.cluster(2)
    first.client().execute(["INSERT INTO rows (id, node) VALUES (1, 'open')", []])
    wait_until(lambda: second.client().query("SELECT node FROM rows") == [["open"]], 10, "the row arrives without TLS")
