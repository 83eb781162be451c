"""Dependency injection: the resources that an application provides to its handlers, by their type."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

from flowlet.definition.loader import format_path
from flowlet.errors import DefinitionError, Fault
from flowlet.protected_tasks import leave_own_code

__all__ = ["Dependencies", "format_type"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_ITERATOR_TYPES = frozenset({AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator})
_CONTEXT_MANAGER_TYPES = frozenset({AbstractAsyncContextManager, AbstractContextManager})
# Entering one of these acquires it: a resource that is a lock would be held from start to stop.
_LOCK_TYPES = (
    asyncio.Lock,
    asyncio.Semaphore,
    asyncio.Condition,
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Semaphore,
    threading.Condition,
)


class Dependencies:
    """The resources of handlers, by type. They are opened at the start and closed in reverse order at the stop.

        dependencies = Dependencies()

        @dependencies.provide
        async def http() -> AsyncIterator[httpx.AsyncClient]:
            async with httpx.AsyncClient(base_url="https://shop.example") as client:
                yield client

    A handler receives a resource in a parameter annotated with exactly its type; inheritance does not count. Use
    ``typing.NewType`` for a second resource of the same class.
    """

    def __init__(self) -> None:
        self._factories: dict[Any, Callable[..., Any]] = {}
        self._values: dict[Any, Any] = {}
        self._opened: dict[Any, Any] | None = None
        self._stack = AsyncExitStack()

    def provide(self, factory: F) -> F:
        """Provide what a factory returns, under its annotated type; return the factory.

        Args:
            factory: Called without arguments at the start. One of: a generator function, async or plain, which yields
                once (``-> AsyncIterator[T]``), with ``@asynccontextmanager`` or without; a function that returns
                a context manager of T (``-> AbstractAsyncContextManager[T]``); a function, async or plain, that
                returns a T (``-> T``), or the class T itself. A T that is a context manager is entered and left.

        Raises:
            DefinitionError: If the factory has no usable return type or requires arguments, or if the type is provided
                already.
            RuntimeError: If the resources are open.
        """
        if self._opened is not None:
            raise RuntimeError(
                f"{_format_factory(factory)} is provided too late: the resources are open. Provide it before the start."
            )
        if needed := _find_required_arguments(factory):
            cure = "Give them defaults, or provide a function without parameters that calls it."
            raise _build_error(
                factory, f"the factory {_format_factory(factory)} requires arguments: {', '.join(needed)}.\n{cure}"
            )
        provided = _read_provided_type(factory)
        if self.has_type(provided):
            raise _build_error(factory, self._describe_duplicate(provided))
        self._factories[provided] = factory
        return factory

    def provide_value(self, type: type[T], instance: T) -> None:
        """Provide an existing object, which is neither opened nor closed.

        Raises:
            DefinitionError: If the type is provided already.
        """
        if self.has_type(type):
            raise DefinitionError([Fault("provide_value()", 0, self._describe_duplicate(type))])
        self._values[type] = instance

    @property
    def types(self) -> frozenset[Any]:
        """All provided types."""
        return frozenset(self._factories) | frozenset(self._values)

    def has_type(self, type: Any) -> bool:
        """Return whether the annotated type is provided."""
        try:
            return type in self._factories or type in self._values
        except TypeError:  # an annotation may be unhashable, as Literal[[]]
            return False

    async def open(self) -> None:
        """Open all resources, in the order in which they were provided. If one fails, close those before it.

        Raises:
            RuntimeError: If they are open already.
            Exception: Whatever a factory raises.
        """
        if self._opened is not None:
            raise RuntimeError("the resources are open already")
        async with AsyncExitStack() as stack:
            with leave_own_code():
                opened = {type: await _open_dependency(factory, stack) for type, factory in self._factories.items()}
            self._stack = stack.pop_all()
        self._opened = opened

    async def close(self) -> None:
        """Close all open resources, the last one first. Without open resources this does nothing.

        Raises:
            Exception: Whatever a factory raises while it closes; the other resources are closed all the same.
        """
        self._opened = None
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        """Open all resources."""
        await self.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close all resources."""
        await self.close()

    def __getitem__(self, type: Any) -> Any:
        """Return the open resource of a type.

        Raises:
            KeyError: If the type is not provided.
            RuntimeError: If the resources are not open.
        """
        if type in self._values:
            return self._values[type]
        if type not in self._factories:
            raise KeyError(f"nothing provides {format_type(type)}; provided: {self._list_types()}")
        if self._opened is None:
            raise RuntimeError(f"{format_type(type)} is not open: call 'await dependencies.open()' first")
        return self._opened[type]

    def _list_types(self) -> str:
        return ", ".join(sorted(format_type(type) for type in self.types)) or "nothing"

    def _describe_duplicate(self, resource_type: Any) -> str:
        factory = self._factories.get(resource_type)
        file, line = _locate_factory(factory) if factory else ("", 0)
        by = f"by {_format_factory(factory)} at {file}:{line}" if factory else "as a value"
        cure = "Use typing.NewType for a second one of the same class."
        return f"{format_type(resource_type)} is provided already, {by}.\n{cure}"


def format_type(annotation: Any) -> str:
    """Return the text of an annotation in messages: the name of a class, or the source of anything else."""
    if isinstance(annotation, str):
        return annotation
    if get_origin(annotation) is None and hasattr(annotation, "__name__"):
        return str(annotation.__name__)
    return str(annotation).replace("typing.", "")


async def _open_dependency(factory: Callable[..., Any], stack: AsyncExitStack) -> Any:
    if inspect.isasyncgenfunction(factory):
        return await stack.enter_async_context(asynccontextmanager(factory)())
    if inspect.isgeneratorfunction(factory):
        return stack.enter_context(contextmanager(factory)())
    made = factory()
    if inspect.iscoroutine(made):
        made = await made
    entered = await _enter_context(made, stack)
    return entered if _is_manager_annotation(factory) else made


async def _enter_context(made: Any, stack: AsyncExitStack) -> Any:
    if isinstance(made, _LOCK_TYPES):
        return made
    if isinstance(made, AbstractAsyncContextManager):
        return await stack.enter_async_context(made)
    if isinstance(made, AbstractContextManager):
        return stack.enter_context(made)
    return made


def _read_provided_type(factory: Callable[..., Any]) -> Any:
    if inspect.isclass(factory):
        return factory
    annotation = _read_return_annotation(factory)
    made = _unwrap_annotation(factory, annotation)
    if made is None or made is type(None) or isinstance(made, TypeVar):
        cure = f"Annotate it, as in: def {_format_factory(factory)}() -> AsyncIterator[Client]"
        given = "it has no annotation" if annotation is None else f"{format_type(annotation)} names no type"
        raise _build_error(
            factory, f"the factory {_format_factory(factory)} has no usable return type: {given}.\n{cure}"
        )
    try:
        hash(made)
    except TypeError:
        raise _build_error(
            factory, f"{format_type(made)} cannot be the type of a resource: it is not hashable."
        ) from None
    return made


def _unwrap_annotation(factory: Callable[..., Any], annotation: Any) -> Any:
    """Return the T of a factory's return annotation, or None if it has none."""
    origin = get_origin(annotation) or annotation
    yields = origin in _ITERATOR_TYPES and (_is_generator(factory) or hasattr(factory, "__wrapped__"))
    if not yields and origin not in _CONTEXT_MANAGER_TYPES:
        return None if _is_generator(factory) or annotation is Any else annotation
    arguments = get_args(annotation)
    return arguments[0] if arguments and arguments[0] is not Any else None


def _is_manager_annotation(factory: Callable[..., Any]) -> bool:
    if inspect.isclass(factory):
        return False
    annotation = _read_return_annotation(factory)
    origin = get_origin(annotation) or annotation
    return origin in _CONTEXT_MANAGER_TYPES or (origin in _ITERATOR_TYPES and hasattr(factory, "__wrapped__"))


def _is_generator(factory: Callable[..., Any]) -> bool:
    return inspect.isasyncgenfunction(factory) or inspect.isgeneratorfunction(factory)


def _read_return_annotation(factory: Callable[..., Any]) -> Any:
    try:
        return get_type_hints(inspect.unwrap(factory)).get("return")
    except TypeError:  # a callable without annotations, as functools.partial
        return None
    except NameError as error:
        cure = "Import it at the top of the module, outside `if TYPE_CHECKING:`."
        message = f"the annotations of the factory {_format_factory(factory)} cannot be read: {error}.\n{cure}"
        raise _build_error(factory, message) from None


def _find_required_arguments(factory: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # some classes written in C have no signature
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in kinds]


def _format_factory(factory: Callable[..., Any] | None) -> str:
    return getattr(factory, "__name__", None) or type(factory).__name__


def _build_error(factory: Callable[..., Any], message: str) -> DefinitionError:
    return DefinitionError([Fault(*_locate_factory(factory), message)])


def _locate_factory(factory: Callable[..., Any]) -> tuple[str, int]:
    code = getattr(inspect.unwrap(factory), "__code__", None)
    return (format_path(code.co_filename), code.co_firstlineno) if code else (_format_factory(factory), 0)
