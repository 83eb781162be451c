"""Workflows of three durable steps on huey: each is a pipeline of three tasks in a SQLite file.

    python huey_steps.py sqlite:////tmp/peers.db 1000

Prints the workflows per second as JSON. Runs in the environment of the peers (``benchmarks/bench.py``).
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time

from huey import SqliteHuey

WORKERS = 4


def main(url: str, workflows: int) -> None:
    """Enqueue the pipelines, then run all tasks, and print the rate."""
    logging.getLogger("huey").setLevel(logging.ERROR)
    huey = SqliteHuey(filename=url.removeprefix("sqlite:///"), results=False, fsync=True)
    ended = 0
    lock, has_ended = threading.Lock(), threading.Event()

    @huey.task()
    def check(number: int) -> int:
        return number

    @huey.task()
    def charge(number: int) -> int:
        return number

    @huey.task()
    def ship(number: int) -> None:
        nonlocal ended
        with lock:
            ended += 1
            if ended == workflows:
                has_ended.set()

    for number in range(workflows):
        huey.enqueue(check.s(number).then(charge).then(ship))
    consumer = huey.create_consumer(workers=WORKERS, periodic=False, initial_delay=0.01, max_delay=0.05)
    began = time.perf_counter()
    consumer.start()
    has_ended.wait()
    rate = workflows / (time.perf_counter() - began)
    consumer.stop(graceful=True)
    print(json.dumps({"rate": rate}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
