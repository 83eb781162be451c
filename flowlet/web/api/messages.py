"""The message endpoints: sending a message to a workflow from outside, and listing those that it has not consumed."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, RootModel
from quart import Blueprint, Response, request

from flowlet.accounts.roles import Role
from flowlet.instance.message import Message, Sent
from flowlet.web.api.translation import rename_faults
from flowlet.web.auth import get_principal, require_role
from flowlet.web.field_types import OptionalDuration
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_optional_body, read_query
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("messages", __name__)

_HEADERS = {
    "Idempotency-Key": "Unique among the messages of this name to one workflow, such as the id of a webhook's event: a "
    "second request with it sends nothing and responds with the first one's message. Random if left out."
}


class MessageBody(RootModel[dict[str, Any]]):
    """The body of a message, as the workflow's model of it says; an empty object if left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": 1200}, {}]})

    root: dict[str, Any] = {}


class SendQuery(RequestModel):
    """How long a message may wait.

    Attributes:
        expires_offset: After which duration it is deleted if the workflow has not read it, such as "1 day"; never if
            left out.
    """

    expires_offset: OptionalDuration = None


class CorrelationQuery(SendQuery):
    """The one open workflow to which a message belongs.

    Attributes:
        workflow_type: The name of its definition.
        business_key: Its business key.
        expires_offset: After which duration the message is deleted if the workflow has not read it, such as "1 day";
            never if left out.
    """

    workflow_type: str
    business_key: str


class SentResponse(ApiModel):
    """The result of a send.

    Attributes:
        id: The message's id.
        key: Its idempotency key; generated if the request had none.
        workflow_id: The id of the workflow to which it was sent.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": 92, "key": "evt_1", "workflowId": 4711}]})

    id: int
    key: str
    workflow_id: int


class MessageResponse(ApiModel):
    """A message that a workflow has not consumed.

    Attributes:
        id: Its id; later ones are higher.
        workflow_id: The workflow's id.
        name: Its name.
        key: Its idempotency key.
        body: Its body.
        sender: The user who sent it; null for code.
        sent: When it was sent.
        expires: When it is deleted if it is still unread; null for never.
    """

    id: int
    workflow_id: int
    name: str
    key: str
    body: dict[str, Any]
    sender: str | None
    sent: Timestamp
    expires: Timestamp | None

    @classmethod
    def of(cls, message: Message) -> MessageResponse:
        """Return the response for a message."""
        same = {name: getattr(message, name) for name in ("id", "workflow_id", "name", "key", "body", "sender")}
        return cls(**same, sent=message.sent_us, expires=message.expires_us)


@blueprint.post("/api/workflows/<id>/messages/<name>")
@require_role(Role.OPERATOR)
@describe_route(
    body=MessageBody,
    is_optional=True,
    query=SendQuery,
    headers=_HEADERS,
    answers={201: SentResponse, 200: SentResponse},
    problems=(409,),
)
async def send_message(id: str, name: str) -> Response:
    """Send a message to a workflow: 201. If it has one of this name with this key: 200, and nothing is sent.

    The workflow reads it in the next receive state that waits for this name, or at once if it waits for it now. 404 if
    its definition receives no message of this name; 409 if it has ended.
    """
    query = read_query(SendQuery)
    found = await get_services().store.queries.find(id)
    return await _send(name, query, {"to": found.id})


@blueprint.post("/api/messages/<name>")
@require_role(Role.OPERATOR)
@describe_route(
    body=MessageBody,
    is_optional=True,
    query=CorrelationQuery,
    headers=_HEADERS,
    answers={201: SentResponse, 200: SentResponse},
    problems=(409,),
)
async def send_correlated_message(name: str) -> Response:
    """Send a message to the one open workflow of a definition that has a business key: 201; or 200.

    200 if a workflow with this key has had the message already, even if it has ended. 404 if none is open, 409 if more
    than one is.
    """
    query = read_query(CorrelationQuery)
    return await _send(name, query, {"type": query.workflow_type, "business_key": query.business_key})


@blueprint.get("/api/workflows/<id>/messages")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[MessageResponse]})
async def list_messages(id: str) -> Response:
    """Return the messages that a workflow has not consumed, the oldest first; at most 100."""
    here = get_services()
    found = await here.store.queries.find(id)
    messages = await here.operations.list_unread(found.id)
    return build_json_response([MessageResponse.of(one) for one in messages])


async def _send(name: str, query: SendQuery, address: dict[str, Any]) -> Response:
    body = await read_optional_body(MessageBody)
    with rename_faults():
        sent: Sent = await get_services().operations.send(
            name,
            body.root,
            **address,
            key=request.headers.get("Idempotency-Key"),
            expires=query.expires_offset,
            username=get_principal().username,
        )
    response = SentResponse(id=sent.id, key=sent.key, workflow_id=sent.workflow_id)
    return build_json_response(response, status=201 if sent.is_new else 200)
