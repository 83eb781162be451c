"""Get this machine's public IP address from a service; without a network, the history shows the attempts."""

import os
from ipaddress import ip_address

import httpx
from pydantic import BaseModel

from flowlet import Context, Next, Retry, Workflow, end, state


class PublicAddress(BaseModel):
    ip: str | None = None


workflow = Workflow("GetIpWorkflow", vars=PublicAddress, retry=Retry(limit=10, min="1s", max="5s", backoff="linear"))


@state(start=True, next=["get_ip"])
async def start(ctx: Context) -> Next:
    """Log the address of the service."""
    return get_ip.log(f"asking {read_service_url()}")


@state(next=["finish"], timeout="8s")
async def get_ip(public_address: PublicAddress) -> Next:
    """Call the service, and store the response if it is an address."""
    async with httpx.AsyncClient(timeout=5) as client:
        response = await client.get(read_service_url())
    response.raise_for_status()
    public_address.ip = str(ip_address(response.text.strip()))
    return finish


finish = end("The address is in the variables.")


def read_service_url() -> str:
    """Return the URL of the service."""
    return os.environ.get("FLOWLET_DEMO_IP_URL", "https://ifconfig.io/ip")
