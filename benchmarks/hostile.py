"""The engine's throughput beside followers of events, as a share of its throughput without any.

    python benchmarks/hostile.py sqlite:////tmp/bench.db --workflows 2000 --rounds 3
    python benchmarks/hostile.py postgresql://postgres@127.0.0.1/bench --followers 0 20 200

In each round a server with the API and an executor starts, and the followers connect to it; then workflows of three
handlers are created by another process, and the time counts from the first start to the last end. Meanwhile
``/healthz`` is asked ten times a second. The followers read in a process of their own, and accept compression as
browsers and httpx do, unless ``--plain`` says otherwise. The figures are shares of the same round; they are comparable
only within one run. Where there are fewer cores than processes, the share of workflows for each CPU second of the
server is the better figure. The benchmark deletes the database's content.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import suppress
from statistics import median

from api import FLOWLET_COMMAND, create_key, run_server
from loopback import LoopbackClient
from throughput import create_workflows, empty_tables, wait_until_drained

from flowlet.runtime import run_loop
from flowlet.store.opening import Store, open_store

READ_SIZE = 1 << 18


async def follow_events(host: str, port: int, key: str, followers: int, accepted: str) -> None:
    """Follow all events on so many connections until the input ends; print a line when all are connected.

    What comes is not decompressed: that is the clients' work, on their own machines.
    """

    async def follow() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        headers = f"Host: {host}\r\nX-API-Key: {key}\r\nAccept-Encoding: {accepted}\r\n"
        writer.write(f"GET /api/events HTTP/1.1\r\n{headers}\r\n".encode())
        head = await reader.readuntil(b"retry: ")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        connected.append(1)
        while await reader.read(READ_SIZE):
            pass

    connected: list[int] = []
    tasks = [asyncio.create_task(follow()) for _ in range(followers)]
    while len(connected) < followers:
        await asyncio.sleep(0.05)
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()


async def measure_health(client: LoopbackClient, latencies: list[float]) -> None:
    """Ask ``/healthz`` ten times a second, until cancelled, and note the times in milliseconds."""
    connection = await client.open_connection()
    while True:
        began = time.perf_counter()
        await connection.send_request(client.encode_get("/healthz"))
        latencies.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.1)


async def measure_round(
    store: Store, url: str, *, followers: int, workflows: int, accepted: str
) -> tuple[float, float, list[float]]:
    """Return the workflows a second, those for each CPU second, and the times of ``/healthz``."""
    await empty_tables(store)
    async with run_server(*FLOWLET_COMMAND, url=url) as server:
        client = LoopbackClient(server.address, await create_key(store))
        reading = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--follow", client.host, str(client.port)),
            *(await create_key(store), str(followers), accepted),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await reading.stdout.readline()
        latencies: list[float] = []
        asking = asyncio.create_task(measure_health(client, latencies))
        cpu = server.cpu_seconds
        await create_workflows(store, workflows)
        rate = await wait_until_drained(store)
        cpu = server.cpu_seconds - cpu
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        reading.stdin.close()
        await reading.wait()
    return rate, workflows / cpu, sorted(latencies)


async def compare_followers(arguments: argparse.Namespace) -> None:
    """Print each round, and the median share for each number of followers."""
    shares: dict[int, list[float]] = {}
    async with open_store(arguments.url) as store:
        for number in range(arguments.rounds):
            alone = alone_of_cpu = 0.0
            for followers in arguments.followers:
                rate, of_cpu, health = await measure_round(
                    store,
                    arguments.url,
                    followers=followers,
                    workflows=arguments.workflows,
                    accepted="identity" if arguments.plain else "gzip, deflate",
                )
                alone, alone_of_cpu = alone or rate, alone_of_cpu or of_cpu
                shares.setdefault(followers, []).append(rate / alone)
                print(
                    f"round {number + 1}: {followers:4} followers, {rate:5.0f} workflows/s, {rate / alone:4.0%}, "
                    f"{of_cpu:4.0f} for each CPU second, {of_cpu / alone_of_cpu:4.0%}, "
                    f"/healthz median {median(health):5.1f} max {health[-1]:5.1f} ms",
                    flush=True,
                )
    for followers, found in shares.items():
        print(f"{followers:4} followers: {median(found):4.0%} of the throughput without any (median)")


def main() -> None:
    """Measure what the arguments name."""
    if sys.argv[1:2] == ["--follow"]:
        host, port, key, followers, accepted = sys.argv[2:]
        run_loop(follow_events(host, int(port), key, int(followers), accepted))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="a database of its own")
    parser.add_argument("--workflows", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--followers", type=int, nargs="+", default=[0, 20, 200], help="the first number is the base")
    parser.add_argument("--plain", action="store_true", help="followers that accept no compression")
    run_loop(compare_followers(parser.parse_args()))


if __name__ == "__main__":
    main()
