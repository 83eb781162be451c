"""The Postman collection as its tests read it: requests with their paths, bodies, scripts and example responses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.house.source import ROOT

__all__ = ["COLLECTION_PATH", "ENVIRONMENT_PATH", "CollectionRequest", "SavedAnswer", "fill_variables", "read_requests"]

COLLECTION_PATH = ROOT / "postman" / "flowlet.postman_collection.json"
ENVIRONMENT_PATH = ROOT / "postman" / "flowlet.postman_environment.json"

_VARIABLE = re.compile(r"\{\{\$?\w+\}\}")


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """An example response."""

    status: int
    content_type: str
    text: str


@dataclass(frozen=True, slots=True)
class CollectionRequest:
    """A request: ``path`` has all variables filled in, and ``source`` is the original JSON."""

    id: str
    name: str
    folder: str
    method: str
    path: str
    query: dict[str, str]
    description: str
    body: str | None
    script: str
    saved_answers: tuple[SavedAnswer, ...]
    source: dict[str, Any]

    @property
    def is_successful(self) -> bool:
        """Whether its example response, if any, is not an error."""
        return all(one.status < 400 for one in self.saved_answers)


def read_requests() -> list[CollectionRequest]:
    """Return the requests of the collection in the order of a run."""
    return list(_walk_requests(json.loads(COLLECTION_PATH.read_text(encoding="utf-8"))["item"], ""))


def fill_variables(text: str) -> str:
    """Return a text with a value for each variable."""
    return _VARIABLE.sub("10000001", text)  # a number where one is wanted, and long enough for a password


def _walk_requests(items: list[dict[str, Any]], folder: str) -> Iterator[CollectionRequest]:
    for item in items:
        if "item" in item:
            yield from _walk_requests(item["item"], folder or item["name"])
        else:
            yield _parse_request(item, folder)


def _parse_request(item: dict[str, Any], folder: str) -> CollectionRequest:
    request = item["request"]
    values = {variable["key"]: variable["value"] for variable in request["url"].get("variable", ())}
    parts = [values[part[1:]] if part.startswith(":") else part for part in request["url"]["path"]]
    return CollectionRequest(
        id=item["id"],
        name=item["name"],
        folder=folder,
        method=request["method"],
        path=fill_variables("/" + "/".join(parts)),
        query={each["key"]: each["value"] for each in request["url"].get("query", ())},
        description=request.get("description", ""),
        body=request.get("body", {}).get("raw"),
        script="\n".join(
            line for event in item["event"] if event["listen"] == "test" for line in event["script"]["exec"]
        ),
        saved_answers=tuple(_parse_saved_answer(answer) for answer in item["response"]),
        source=request,
    )


def _parse_saved_answer(answer: dict[str, Any]) -> SavedAnswer:
    kinds = [header["value"] for header in answer["header"] if header["key"] == "Content-Type"]
    return SavedAnswer(answer["code"], kinds[0].partition(";")[0] if kinds else "", answer["body"])
