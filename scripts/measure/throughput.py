#!/usr/bin/env python3
"""Transactions per second over HTTP at one agent, with several numbers of connections that are kept."""

import asyncio
import resource
import time

from common import Workspace, arguments, cpu_seconds, milliseconds, percentile, print_fragment


def request(row):
    body = b'[["INSERT INTO rows (id, node, payload) VALUES (?, ?, ?)", [%d, "node-1", "%s"]]]' % (row, b"x" * 100)
    head = b"POST /v1/transactions HTTP/1.1\r\nhost: patina\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


async def read_answer(reader):
    """Reads one answer to its end and returns its status. Knows lengths and chunks, which is all that an agent sends."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"content-length:" in lower:
        await reader.readexactly(int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))
    else:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return int(head[9:12])


async def drive(port, connections, seconds, first_row):
    """Sends one transaction after another on every connection; returns the latencies of those that were answered with 200."""
    latencies = []
    stop = time.perf_counter() + seconds
    rows = iter(range(first_row, 1 << 62))

    async def one():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < stop:
            writer.write(request(next(rows)))
            status = await read_answer(reader)
            assert status == 200, f"status {status}"
            latencies.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return latencies


def client_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main():
    parsed = arguments(__doc__, seconds=(10, "seconds for each number of connections"), connections=("1,32", "numbers of connections"))
    rows = []
    for size in (1, 3):
        workspace = Workspace(parsed.patina)
        try:
            agents = workspace.cluster(size, workspace.authority())
            agent = agents[0]
            asyncio.run(drive(agent.api_port, 4, 1, 0))  # to warm up
            for number, connections in enumerate(int(each) for each in parsed.connections.split(",")):
                server, client, began = cpu_seconds(agent.process.pid), client_seconds(), time.perf_counter()
                latencies = asyncio.run(drive(agent.api_port, connections, parsed.seconds, (number + 1) * 100_000_000))
                wall = time.perf_counter() - began
                server, client = cpu_seconds(agent.process.pid) - server, client_seconds() - client
                rows.append([
                    size, connections, f"{len(latencies) / wall:,.0f}", milliseconds(percentile(latencies, 50)),
                    milliseconds(percentile(latencies, 99)), f"{server / wall:.0%}", f"{client / wall:.0%}",
                ])
        finally:
            workspace.close()
    print_fragment(
        "Transactions over HTTP",
        f"Single-row inserts with a payload of 100 bytes, each a transaction of its own, on connections that are kept, for {parsed.seconds} s; "
        "alone, and with two peers on the same machine that replicate them. The client is one Python process (asyncio); the last column is what it "
        "takes of one core, so a figure near 100 % is the client's limit rather than the agent's.",
        ["agents", "connections", "transactions/s", "p50", "p99", "agent's CPU", "client's CPU"], rows)


if __name__ == "__main__":
    main()
