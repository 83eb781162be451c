"""The live feed of ``serve``: every line of history as it is written, as ``demo`` shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import click

from flowlet.cli.output import format_action
from flowlet.cli.store import open_settings_store
from flowlet.clock import Clock
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.errors import FlowletError
from flowlet.settings import Settings
from flowlet.shutdown import Shutdown, end_when_requested
from flowlet.store.history import HistoryEvent
from flowlet.store.opening import Store

__all__ = ["MAX_LINES_PER_SECOND", "TITLE", "FeedPrinter", "LiveFeed"]

MAX_LINES_PER_SECOND = 20
"""How many lines the feed prints in a second: it is read by people. How many more there were is one line."""

TITLE = "The history as it is written, until Ctrl-C:"

logger = logging.getLogger(__name__)


class FeedPrinter:
    """Prints lines of history, and no more of them than can be read.

    Args:
        clock: Measures the seconds.
        print_line: Prints one line.
    """

    def __init__(self, clock: Clock, print_line: Callable[[str], object] = click.echo) -> None:
        self._clock = clock
        self._print_line = print_line
        self._second_began = clock.monotonic()
        self._printed_count = 0
        self._omitted_count = 0

    def print_events(self, events: Iterable[HistoryEvent]) -> None:
        """Print the events; call it from time to time without any, so that a count of omitted lines is printed."""
        self._begin_second()
        for event in events:
            if self._printed_count == MAX_LINES_PER_SECOND:
                self._omitted_count += 1
                continue
            self._printed_count += 1
            self._print_line(f"{event.type} {event.workflow_id}: {format_action(event)}")

    def _begin_second(self) -> None:
        now = self._clock.monotonic()
        if now - self._second_began < 1:
            return
        if self._omitted_count:
            self._print_line(f"… {self._omitted_count:,} more lines")
        self._second_began, self._printed_count, self._omitted_count = now, 0, 0


class LiveFeed:
    """Prints the history of every workflow of a database, also of what other processes do.

    Args:
        settings: The settings of the database.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __call__(self, stop: Shutdown) -> None:
        """Print until a stop is requested. Where the database cannot be read, or nothing printed, log it and end."""
        try:
            async with open_settings_store(self._settings) as store, end_when_requested(stop):
                await _print_feed(store)
        except (FlowletError, OSError) as error:
            logger.warning("the live feed cannot be shown: %s", error)


async def _print_feed(store: Store) -> None:
    broadcaster, printer = EventBroadcaster(store), FeedPrinter(store.clock)
    try:
        end = await broadcaster.start()
        click.echo(TITLE)
        async for batch in broadcaster.subscribe(lambda _: True, after=end):
            printer.print_events(delivery.event for delivery in batch.deliveries)
    finally:
        broadcaster.close()
