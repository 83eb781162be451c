"""Handlers, called as the plain functions that they are."""

import httpx

from flowlet import Context, Next
from tests.workflow.user_modules.orders import Decision, Order, check_stock, review, ship


async def call_the_handlers(order: Order, ctx: Context) -> None:
    packed: Next = ship(order, ctx)
    taken: Next = await check_stock(order, httpx.AsyncClient(), ctx=ctx)
    followed: Next | None = await review(order, decision=Decision(), ctx=ctx)
    print(packed, taken, followed)
