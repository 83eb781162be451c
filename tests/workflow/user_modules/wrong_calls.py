"""Calls that a type checker has to reject: strict mypy reports each comment below whose error does not occur."""

from flowlet import Context, Retry, Workflow, state
from flowlet.client import AsyncClient, Client
from tests.workflow.user_modules.orders import Order, done, ship, workflow


def call_wrongly(order: Order, ctx: Context) -> None:
    """Give a value of the wrong type, too few values, or a name that does not exist, on each line."""
    ship(1, ctx)  # type: ignore[arg-type]  # a handler takes its own model
    ship(order)  # type: ignore[call-arg]  # and all of its parameters
    ship.after("1h").undone()  # type: ignore[attr-defined]  # an outcome has no such method
    done(order)  # type: ignore[call-arg]  # an end has no handler
    ship.after(10)  # type: ignore[arg-type]  # a duration has a unit
    ship.spawn(ship)  # type: ignore[arg-type]  # a state is no child
    workflow.child(1)  # type: ignore[arg-type]  # a child takes its model's values
    state(start=True)  # type: ignore[call-arg]  # a state names its next states
    Retry(backoff="square")  # type: ignore[arg-type]  # there is no such backoff
    Workflow("Orders", vars=dict)  # type: ignore[type-var]  # variables are a pydantic model
    Client("http://a", key=1)  # type: ignore[arg-type]  # a key is a text
    Client("http://a").search(colour="red")  # type: ignore[call-arg]  # there is no such filter
    Client("http://a").search(status=1)  # type: ignore[arg-type]  # a status is a text
    Client("http://a").run_bulk("explode", {})  # type: ignore[arg-type]  # there is no such operation
    print(AsyncClient("http://a").follow_events().id)  # type: ignore[attr-defined]  # a stream is no event
