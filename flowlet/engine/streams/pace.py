"""How long the loop of the event stream rests, so that followers take little of the time of the engine beside it."""

from __future__ import annotations

__all__ = [
    "MAX_DELAY_SECONDS",
    "MAX_REST_PER_SUBSCRIBER",
    "REST_PER_EVENT",
    "REST_PER_SENDING",
    "TICK_SECONDS",
    "compute_rest",
]

TICK_SECONDS = 0.1
"""Between two looks at the database, at least."""
REST_PER_EVENT = 0.0003
"""How many seconds the loop rests for each event that it has read: nine times what one takes on SQLite, the most."""
REST_PER_SENDING = 9.0
"""How much longer the loop rests than it took to send a batch to all subscribers: together they take a tenth of the
time of the engine in the same process, however many there are and however busy the machine is."""
MAX_REST_PER_SUBSCRIBER = 0.01
"""How many seconds it rests at most for each of them."""
MAX_DELAY_SECONDS = 5.0
"""How old the latest event may be: then events come faster than at the tenth of the time, and are read at any cost."""


def compute_rest(
    *, events: int, took: float, sending: float, subscribers: int, delay: float, is_complete: bool
) -> float:
    """Return how many seconds the loop rests after it has read, at least as long as that took.

    Args:
        events: How many events were read.
        took: How many seconds reading them took: much of that is the database's time.
        sending: How many seconds sending the batch took, to all subscribers; 0 if it was not sent yet.
        subscribers: How many there are.
        delay: How many seconds ago the latest event was written.
        is_complete: Whether there was nothing more to read.
    """
    after_reading = events * REST_PER_EVENT if delay <= MAX_DELAY_SECONDS else 0.0
    after_sending = min(sending * REST_PER_SENDING, subscribers * MAX_REST_PER_SUBSCRIBER)
    return max(took, TICK_SECONDS - took if is_complete else 0.0, after_reading + after_sending)
