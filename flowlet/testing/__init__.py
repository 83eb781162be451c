"""Testing workflows: a real engine on a database of its own, on a clock that the test moves by hand.

    async def test_an_order_is_charged_and_shipped() -> None:
        async with Harness("shop.orders") as flow:
            id = await flow.start("OrderWorkflow", vars={"sku": "A-1", "amount": 2000})
            await flow.answer(id, "charge", form={"comment": "known customer"}, username="anna")
            ended = await flow.run_to_end(id)

        assert ended.succeeded

Only the clock differs from production: hours of timers and retries pass in no time.
"""

from flowlet.clock import VirtualClock
from flowlet.text import describe_missing_extra

try:
    from flowlet.testing.harness import Harness, Modules
except ModuleNotFoundError as error:
    if not (text := describe_missing_extra(error, "flowlet.testing")):
        raise
    raise ImportError(text, name=error.name) from error

__all__ = ["Harness", "Modules", "VirtualClock"]
