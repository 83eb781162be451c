"""The codec of a model: the only place where JSON becomes variables or a form, and becomes JSON again.

What comes from outside is read strictly, as JSON means it: ``true`` is no number, 5.0 is 5, and " 7 " is a text. What
is stored is read leniently, because an older version may have written it. What a handler leaves has to survive: it is
written, read back, and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError

from flowlet.definition.kept_names import KeptNames, find_kept_names
from flowlet.definition.model_shape import build_shape, get_names, list_models
from flowlet.definition.outside_values import (
    SpelledVariables,
    describe_undeclared_name,
    find_undeclared,
    repair_values,
    resolve,
    to_plain,
)
from flowlet.definition.precise_numbers import PreciseNumbers
from flowlet.definition.survival import find_losses, sort_sets
from flowlet.errors import VariablesError
from flowlet.instance.json_text import MAX_FAULTS, find_json_faults, has_nul, parse_json, write_json

__all__ = ["ModelCodec"]

_ROUNDS = 5
"""How often values are repaired: "5.0" becomes 5.0, which becomes 5; a precise number is a text first."""


class ModelCodec:
    """Reads and writes one model.

    Args:
        model: The model of variables, or of a form.
        subject: What the values are, for messages: "the variables of OrderWorkflow".

    Attributes:
        scalar_names: The model's fields, in their order, if an object whose values are all scalars is written as the
            JSON of its ``__dict__``; None if it may be written in another way.
    """

    __slots__ = ("_dump", "_fields", "_load", "_shape", "_validator", "model", "scalar_names", "subject")

    def __init__(self, model: type[BaseModel], subject: str) -> None:
        model.model_rebuild()
        self.model = model
        self.subject = subject
        self._shape = build_shape(model)
        self._load, self._dump = _find_reader(model), _find_writer(model)
        self._validator = model.__pydantic_validator__
        self._fields = {stored: name for name, stored in get_names(model).stored.items()}
        self.scalar_names = self._find_scalar_names()

    @property
    def has_inner_objects(self) -> bool:
        """Whether a field holds an object that has fields itself."""
        return self._shape.has_inner

    @property
    def is_exact(self) -> bool:
        """Whether equal JSON texts of the model mean equal values."""
        return self._shape.is_exact_now()

    def read(self, text: str) -> BaseModel:
        """Return a new model object from a stored JSON text. Names that the model does not declare are ignored.

        Raises:
            VariablesError: If the values do not fit the model. It names the path of each field, never its value.
        """
        try:
            return self._load(text)
        except ValidationError as error:
            if any(fault["type"] == "extra_forbidden" for fault in _list_errors(error)):
                return self._read_known(text)
            raise self._build_error(error) from None

    def find_kept_names(self, text: str, value: BaseModel) -> KeptNames | None:
        """Return the names inside of stored variables that no model declares, to be put back when they are written.

        Args:
            text: The stored JSON text.
            value: What it was read as, and nothing has changed yet.
        """
        if not self.has_inner_objects or (self.is_exact and self.write(value) == text):
            return None
        return find_kept_names(parse_json(text), value)

    def write(self, value: BaseModel) -> str:
        """Return the JSON text of a model object, with sets sorted.

        Raises:
            VariablesError: If a value cannot be written as JSON.
        """
        try:
            # Pydantic's warnings show values. Reading the text again finds what does not fit.
            text = self._dump(value) if type(value) is self.model else _dump_model(value)
        except (PydanticSerializationError, TypeError, ValueError):
            raise VariablesError(self.subject, self._find_unwritable_fields(value)) from None
        return self._sort_sets(value, parse_json(text)) if self._shape.has_sets else text

    def save(self, value: BaseModel, previous_text: str | None = None) -> tuple[str, BaseModel | None]:
        """Return the JSON text of a model object that survives being stored, and the object that it is read as.

        Args:
            value: The model object; any value may have been assigned to its fields.
            previous_text: The text that is stored already. If an exact model has the same text, nothing else is done
                and no object is returned.

        Raises:
            VariablesError: If a value would not be read back as the same value of the same type. Names the fields.
        """
        text = self.write(value)
        is_exact = self.is_exact
        if is_exact and text == previous_text:
            return text, None
        if (not is_exact or has_nul(text)) and (faults := find_json_faults(parse_json(text))):
            raise VariablesError(self.subject, faults)
        try:
            read = self.read(text)
        except VariablesError as error:
            raise VariablesError(self.subject, error.faults | self._find_infinities(value, error.faults)) from None
        if is_exact and value.__dict__ == read.__dict__ and self.write(read) == text:
            return text, read
        if losses := dict(find_losses(value, read)):
            raise VariablesError(self.subject, dict(list(losses.items())[:MAX_FAULTS]))
        # An equal value of a subclass may be written otherwise, as 5 where 5.0 is read.
        return self.write(read), read

    def read_left(self, value: BaseModel, text: str, names: Collection[str]) -> BaseModel | None:
        """Return what the text of an exact model object is read as; None if that is not certainly what has been left.

        Args:
            value: The model object, as a handler has left it.
            text: Its JSON text.
            names: The names in JSON whose values are not the stored ones. The others are not compared.
        """
        is_native = self._shape.is_native
        try:
            read = self._validator.validate_json(text, strict=is_native or None)
        except ValidationError:
            return None
        own, found = value.__dict__, read.__dict__
        for name in names:
            field = self._fields[name]
            if own[field] is not found[field] and not _is_left(own[field], found[field]):
                return None
        return read if is_native or self.write(read) == text else None

    def read_scalars(self, text: str, values: Mapping[str, Any], names: Collection[str]) -> BaseModel | None:
        """Return what the text of scalars is read as; None if that is not certainly what has been left.

        Args:
            text: Their JSON text.
            values: The scalars, by the names of ``scalar_names``.
            names: Those of them that are not the stored ones. The others are not compared.
        """
        try:
            read: BaseModel = self._validator.validate_json(text, strict=True)
        except ValidationError:
            return None
        found = read.__dict__
        for name in names:  # a float's field takes an integer, which it would write as a float
            if type(found[name]) is not type(values[name]) or found[name] != values[name]:
                return None
        return read

    def _find_scalar_names(self) -> tuple[str, ...] | None:
        fields = self.model.model_fields
        is_plain = self._shape.is_native and self._dump is not _dump_model
        is_plain = is_plain and all(stored == name for stored, name in self._fields.items())
        return tuple(fields) if is_plain and not any(field.exclude for field in fields.values()) else None

    def validate(self, values: Mapping[str, Any], *, given: Collection[str] | None = None) -> BaseModel:
        """Return a model object built from values from outside, read strictly.

        Args:
            values: The values by name: those of JSON, or others that can be written as JSON. If they are
                ``SpelledVariables``, a text may spell the JSON value of a field that is no text.
            given: The names of those that come from outside; the others are stored ones. None for all.

        Raises:
            VariablesError: If they do not fit, or the model does not declare a name. Names the path of each field.
        """
        plain = to_plain(values, self.subject)
        result = self._validate_strictly(plain, given, has_spelled=isinstance(values, SpelledVariables))
        outside = plain if given is None else {name: plain[name] for name in given if name in plain}
        if undeclared := dict(find_undeclared(outside, result)):
            raise VariablesError(self.subject, undeclared)
        return result

    def _sort_sets(self, value: BaseModel, plain: Any) -> str:
        try:
            return write_json(sort_sets(value, plain))
        except ValueError:  # an infinite number, for a model that writes them as they are
            raise VariablesError(self.subject, find_json_faults(plain)) from None

    def accept(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values from outside to store: as they were given, or as the model writes them if they differ in more.

        Raises:
            VariablesError: As for ``validate``, and if a value would not be read back as it is.
        """
        model = self.validate(values)
        text, _ = self.save(model)
        given = to_plain(values, self.subject)
        written: dict[str, Any] = parse_json(text)
        return given if self._is_read_as(given, model) else written

    def _is_read_as(self, plain: dict[str, Any], value: BaseModel) -> bool:
        try:
            return not any(find_losses(value, self.read(write_json(plain))))
        except VariablesError:  # 1e23 for an integer
            return False

    def _validate_strictly(
        self, plain: dict[str, Any], given: Collection[str] | None, *, has_spelled: bool
    ) -> BaseModel:
        numbers = PreciseNumbers()
        for is_last in (*[False] * (_ROUNDS - 1), True):
            try:
                result = self.model.model_validate_json(write_json(numbers.spell(plain)), strict=True)
                if is_last or not numbers.keep_decimals(plain, result):
                    return result
            except ValidationError as error:
                errors = _list_errors(error)
                if repair_values(plain, errors, numbers, has_spelled=has_spelled) and not is_last:
                    continue
                if own := [fault for fault in errors if self._is_about(fault, given)]:
                    raise self._build_error(error, own) from None
                break
        return self.read(write_json(numbers.spell(plain)))

    def _is_about(self, fault: ErrorDetails, given: Collection[str] | None) -> bool:
        """Return whether an error is about a value from outside; about the object as a whole the lenient read says."""
        if given is None:
            return True
        accepted = get_names(self.model).accepted
        fields = {accepted.get(name, name) for name in given}
        return bool(fault["loc"]) and accepted.get(str(fault["loc"][0]), str(fault["loc"][0])) in fields

    def _read_known(self, text: str) -> BaseModel:
        """Read a text without the names that a model forbids: an older or newer version has written them."""
        plain = parse_json(text)
        while True:
            try:
                return self.model.model_validate_json(write_json(plain))
            except ValidationError as error:
                forbidden = [fault for fault in _list_errors(error) if fault["type"] == "extra_forbidden"]
                places = [resolve(plain, fault["loc"]) for fault in forbidden]
                if not any(places):
                    raise self._build_error(error) from None
            for place in places:
                if place is not None:
                    place[0].pop(place[1], None)

    def _build_error(self, error: ValidationError, faults: list[ErrorDetails] | None = None) -> VariablesError:
        listed = _list_errors(error) if faults is None else faults
        return VariablesError(
            self.subject, {".".join(map(str, fault["loc"])): self._format_fault(fault) for fault in listed}
        )

    def _format_fault(self, fault: ErrorDetails) -> str:
        if fault["type"] != "extra_forbidden":
            return fault["msg"]
        models = [self.model] if len(fault["loc"]) == 1 else list_models(self.model)
        known = {name for model in models for name in get_names(model).accepted}
        return describe_undeclared_name(str(fault["loc"][-1]), known)

    def _find_unwritable_fields(self, value: BaseModel) -> dict[str, str]:
        """Return the fault of each field that cannot be written; of the whole object if it is none of them."""
        faults = {}
        for name, stored in get_names(type(value)).stored.items():
            try:
                value.model_dump_json(by_alias=True, warnings=False, include={name})
            except (PydanticSerializationError, TypeError, ValueError):
                kind = type(value.__dict__.get(name)).__name__
                faults[stored] = f"cannot be written as JSON: its type is {kind}"
        return faults or {"": "cannot be written as JSON"}

    def _find_infinities(self, value: BaseModel, faults: Mapping[str, str]) -> dict[str, str]:
        """Return better words for the fields that do not fit because they are written as null."""
        own = {get_names(type(value)).stored.get(name, name): one for name, one in value.__dict__.items()}
        return {name: fault for name, fault in find_json_faults(own).items() if name in faults and "JSON does" in fault}


def _is_left(value: Any, read: Any) -> bool:
    """Return whether two values of an exact model are equal, and models of the same classes. Equal scalars may differ.

    It is what ``==`` does, but pydantic's takes a microsecond for each model.
    """
    if type(value) is list and type(read) is list and read and isinstance(read[0], BaseModel):
        return len(value) == len(read) and all(map(_is_left, value, read))
    if isinstance(read, BaseModel):
        return type(value) is type(read) and bool(value.__dict__ == read.__dict__)
    return bool(value == read)


def _find_reader(model: type[BaseModel]) -> Callable[[str], BaseModel]:
    """Return what reads a model: pydantic's own validator, a third faster, unless the model has its own method."""
    if getattr(model.model_validate_json, "__func__", None) is not BaseModel.model_validate_json.__func__:  # type: ignore[attr-defined]  # a class method has it
        return model.model_validate_json
    return model.__pydantic_validator__.validate_json


def _find_writer(model: type[BaseModel]) -> Callable[[BaseModel], str]:
    """Return what writes a model: pydantic's own serializer, twice as fast, unless the model has its own method."""
    if model.model_dump_json is not BaseModel.model_dump_json:
        return _dump_model
    to_json = model.__pydantic_serializer__.to_json
    return lambda value: to_json(value, by_alias=True, warnings=False).decode()


def _dump_model(value: BaseModel) -> str:
    return value.model_dump_json(by_alias=True, warnings=False)


def _list_errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False, include_context=False)
