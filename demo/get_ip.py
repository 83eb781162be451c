"""Ask a service for the public address of this machine; without a network the attempts show in the history."""

import os
from ipaddress import ip_address

import httpx
from pydantic import BaseModel

from flowlet import Context, Next, Retry, Workflow, end, state


class Answer(BaseModel):
    ip: str | None = None


workflow = Workflow("GetIpWorkflow", vars=Answer, retry=Retry(limit=10, min="1s", max="5s", backoff="linear"))


@state(start=True, next=["get_ip"])
async def start(ctx: Context) -> Next:
    """Say what is about to happen."""
    return get_ip.log(f"asking {address()}")


@state(next=["finish"], timeout="8s")
async def get_ip(answer: Answer) -> Next:
    """Ask, and keep the answer if it is an address."""
    async with httpx.AsyncClient(timeout=5) as client:
        response = await client.get(address())
    response.raise_for_status()
    answer.ip = str(ip_address(response.text.strip()))
    return finish


finish = end("The address is in the variables.")


def address() -> str:
    """Return where to ask."""
    return os.environ.get("FLOWLET_DEMO_IP_URL", "https://ifconfig.io/ip")
