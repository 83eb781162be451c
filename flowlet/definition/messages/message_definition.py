"""A message that a workflow receives: its name, and how its body is validated and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from flowlet.definition.codec import ModelCodec
from flowlet.definition.model_shape import build_schema
from flowlet.definition.outside_values import to_plain
from flowlet.errors import VariablesError
from flowlet.instance.json_text import write_json

__all__ = ["MessageDefinition"]


@dataclass(frozen=True, slots=True)
class MessageDefinition:
    """A message that a receive state waits for.

    Attributes:
        name: Its name.
        model: The model of its body; None for any JSON object.
        codec: Validates and reads the body; None without a model.
    """

    name: str
    model: type[BaseModel] | None
    codec: ModelCodec | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codec = ModelCodec(self.model, self.subject) if self.model else None
        object.__setattr__(self, "codec", codec)

    @property
    def subject(self) -> str:
        """What its body is called in messages."""
        return f"the message {self.name!r}"

    def validate_body(self, body: BaseModel | Mapping[str, Any] | None) -> str:
        """Return the JSON text of a body from outside, validated against the model.

        Args:
            body: An object of the model, or its values by name; None for an empty object.

        Raises:
            VariablesError: If it does not fit. It names the fields, never their values.
        """
        values = body.model_dump(mode="json", by_alias=True) if isinstance(body, BaseModel) else body
        if values is None:
            values = {}
        if not isinstance(values, Mapping):
            raise VariablesError(self.subject, {"": f"has to be an object, not {type(values).__name__}"})
        return write_json(self.codec.accept(values) if self.codec else to_plain(values, self.subject))

    def read_body(self, text: str) -> BaseModel | None:
        """Return a new model object from a stored body; None without a model.

        Raises:
            VariablesError: If it does not fit the model any more.
        """
        return None if self.codec is None else self.codec.read(text)

    def build_schema(self) -> dict[str, Any]:
        """Return the JSON schema of its body."""
        return {"type": "object"} if self.model is None else build_schema(self.model)
