"""The clients of a run: they create workflows over the API, answer, pause, resume, move and cancel them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random

import httpx

from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.client import Client
from flowlet.client.errors import BadRequestError, ClientError, ServerError, UnauthenticatedError
from flowlet.client.models import Instance
from flowlet.store.opening import open_store

__all__ = ["Traffic", "issue_key"]

MOVES = {"rest": "collect", "quote": "book", "carry": "deliver", "lapse": "rest"}
"""Where an operator moves an instance from a state."""
PRIORITY_COUNT = 3
"""How many priorities there are: what is above the others is leased as it is created, also beside these."""
CREATES_BETWEEN_OPERATIONS = 3
REQUEST_TIMEOUT = "3s"

BUGS = (BadRequestError, ServerError, UnauthenticatedError)
"""Answers that no fault of a run explains."""


class Traffic:
    """Two clients, each in its own thread: one creates, and one operates on what it finds.

    Args:
        list_addresses: Returns the addresses of the servers that can be reached.
        key: An API key of an operator.
        random: Where choices are drawn from.
        creates_per_second: How many workflows are created in a second.
        prefix: How the external ids begin.
        first_number: The number of the first workflow, on which its path depends.

    Attributes:
        requested: The external ids of all creates that were sent.
        acknowledged: Those that a server has confirmed.
        operations: How many operations were confirmed, by the instance's id and the kind of their line of history.
        problems: Answers that are bugs.
    """

    def __init__(
        self,
        list_addresses: Callable[[], Sequence[str]],
        key: str,
        random: Random,
        *,
        creates_per_second: float,
        prefix: str = "voyage",
        first_number: int = 0,
    ) -> None:
        self.requested: set[str] = set()
        self.acknowledged: set[str] = set()
        self.operations: Counter[tuple[int, str]] = Counter()
        self.problems: list[str] = []
        self._list_addresses = list_addresses
        self._key = key
        self._random = random
        self._prefix = prefix
        self._first_number = first_number
        self._interval = 1 / creates_per_second
        self._least_count = 0
        self._is_closing = threading.Event()
        self._is_closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._create_workflows, args=(Random(random.random()),)),
            threading.Thread(target=self._operate, args=(Random(random.random()),)),
        ]

    def start(self) -> None:
        """Begin to create and to operate."""
        for thread in self._threads:
            thread.start()

    def stop_creating(self, *, workflow_count: int) -> None:
        """Wait for the acknowledgement of all creates that were sent, at least of so many, and send no more of them."""
        self._least_count = workflow_count
        self._is_closing.set()
        self._threads[0].join()

    def close(self) -> None:
        """End both clients."""
        self._is_closing.set()
        self._is_closed.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _create_workflows(self, random: Random) -> None:
        number = self._first_number
        unanswered: deque[int] = deque()
        with httpx.Client() as http:
            while not self._is_closed.wait(self._interval):
                if not self._is_closing.is_set() or number - self._first_number < self._least_count:
                    unanswered.append(number)
                    number += 1
                elif not unanswered:
                    return
                client = self._build_client(http, random)
                while unanswered and self._create_one(client, unanswered[0]):
                    unanswered.popleft()

    def _create_one(self, client: Client, number: int) -> bool:
        """Create a workflow, and return whether that was acknowledged; the same external id is sent until it is."""
        external_id = f"{self._prefix}-{number}"
        self.requested.add(external_id)
        try:
            priority = number // 12 % PRIORITY_COUNT  # each with all paths, which depend on remainders of the number
            client.create("Voyage", {"number": number}, external_id=external_id, priority=priority)
        except ClientError as error:
            self._note_problem(error)
            return False
        self.acknowledged.add(external_id)
        return True

    def _operate(self, random: Random) -> None:
        with httpx.Client() as http:
            while not self._is_closed.wait(CREATES_BETWEEN_OPERATIONS * self._interval):
                client = self._build_client(http, random)
                try:
                    if self._is_closing.is_set():
                        self._finish_open_ones(client)
                    else:
                        self._operate_once(client, random)
                except ClientError as error:
                    self._note_problem(error)

    def _operate_once(self, client: Client, random: Random) -> None:
        """Do one operation on an instance that is open; a refusal is an answer like any other."""
        found = client.search(status=("NEW", "IN_PROGRESS", "WAITING", "EXECUTING", "PAUSED"), limit=100).instances
        if not found:
            return
        instance = random.choice(found)
        if instance.status == "PAUSED":
            self._resume(client, instance)
        elif instance.status == "WAITING" and not instance.awaits:
            self._answer(client, instance)
        elif instance.type == "Parcel" and (instance.awaits or random.random() < 0.4):
            self._send(client, instance)
        elif instance.state in MOVES and random.random() < 0.5:
            client.move(instance.id, MOVES[instance.state])
            self.operations[instance.id, "MOVED"] += 1
        elif random.random() < 0.1:
            client.cancel(instance.id, reason="the judge wants to see it", with_children=random.random() < 0.5)
            self.operations[instance.id, "CANCELLED"] += 1
        else:
            client.pause(instance.id)
            self.operations[instance.id, "PAUSED"] += 1

    def _finish_open_ones(self, client: Client) -> None:
        for instance in client.search(status="PAUSED", limit=1000).instances:
            self._resume(client, instance)
        for instance in client.search(status="WAITING", limit=1000).instances:
            self._send(client, instance) if instance.awaits else self._answer(client, instance)

    def _send(self, client: Client, instance: Instance) -> None:
        """Send a message, whether the instance waits for one or not."""
        sent = client.send("signature", {"by": instance.external_id}, to=instance.id)
        self.operations[instance.id, "MESSAGE"] += sent.is_new

    def _resume(self, client: Client, instance: Instance) -> None:
        client.resume(instance.id)
        self.operations[instance.id, "RESUMED"] += 1

    def _answer(self, client: Client, instance: Instance) -> None:
        choice = "refused" if instance.id % 4 == 0 else "rest"
        client.answer(instance.id, choice, form={"comment": f"chosen for {instance.external_id}"})
        self.operations[instance.id, "ANSWERED"] += 1

    def _build_client(self, http: httpx.Client, random: Random) -> Client:
        addresses = self._list_addresses()
        address = random.choice(addresses) if addresses else "http://127.0.0.1:9"  # the discard port: none listens
        return Client(address, key=self._key, http=http, timeout=REQUEST_TIMEOUT, retries=0)

    def _note_problem(self, error: ClientError) -> None:
        if isinstance(error, BUGS):
            self.problems.append(f"{type(error).__name__}: {error}")


def issue_key(url: str) -> str:
    """Return an API key of an operator of a database."""

    async def issue() -> str:
        async with open_store(url) as store:
            users = Users(store, session_idle=timedelta(hours=1), session_lifetime=timedelta(hours=1))
            issued = await users.keys.create("chaos", username="admin", role=Role.OPERATOR, actor="chaos")
            return issued.text

    return asyncio.run(issue())
