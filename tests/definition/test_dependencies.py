"""Resources are provided by factories of any form, opened at start and closed at stop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from typing import TYPE_CHECKING, Any, NewType, Self

import pytest

from flowlet.definition.dependencies import Dependencies
from flowlet.definition.loader import format_path
from flowlet.errors import DefinitionError

if TYPE_CHECKING:
    from decimal import Decimal


class Client:
    """Counts how often it was opened and closed."""

    open_count = closed = 0

    async def __aenter__(self) -> Self:
        self.open_count += 1
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.closed += 1


class Plain:
    """Opens nothing."""


Reader = NewType("Reader", Client)
Writer = NewType("Writer", Client)


async def yield_client_async() -> AsyncIterator[Client]:
    async with Client() as client:
        yield client


async def yield_client_async_generator() -> AsyncGenerator[Client, None]:
    async with Client() as client:
        yield client


def yield_client() -> Iterator[Client]:
    client = Client()
    client.open_count += 1
    yield client
    client.closed += 1


def yield_client_generator() -> Generator[Client, None, None]:
    yield from yield_client()


@asynccontextmanager
async def open_client_async() -> AsyncIterator[Client]:
    async with Client() as client:
        yield client


@contextmanager
def open_client() -> Iterator[Client]:
    yield from yield_client()


def return_async_manager() -> AbstractAsyncContextManager[Client]:
    return Client()


def return_manager() -> AbstractContextManager[Client]:
    return contextmanager(yield_client)()


def returned() -> Client:
    return Client()


async def return_client_async() -> Client:
    return Client()


FACTORY_FORMS: list[Callable[..., Any]] = [
    yield_client_async,
    yield_client_async_generator,
    yield_client,
    yield_client_generator,
    open_client_async,
    open_client,
    return_async_manager,
    return_manager,
    returned,
    return_client_async,
    Client,
]


@pytest.mark.parametrize("factory", FACTORY_FORMS)
async def test_a_factory_of_any_form_is_opened_and_closed(factory: Callable[..., Any]) -> None:
    provided = Dependencies()
    provided.provide(factory)

    async with provided:
        client = provided[Client]
        while_open = (client.open_count, client.closed)

    assert isinstance(client, Client)
    assert provided.types == {Client}
    assert while_open == (1, 0)
    assert client.closed == 1


async def test_what_is_no_context_manager_is_provided_as_it_is() -> None:
    provided = Dependencies()
    provided.provide(Plain)

    async with provided:
        plain = provided[Plain]

    assert isinstance(plain, Plain)


async def test_a_lock_is_not_taken() -> None:
    provided = Dependencies()
    provided.provide(asyncio.Lock)

    async with provided:
        lock = provided[asyncio.Lock]

        assert not lock.locked()


async def test_a_value_is_neither_opened_nor_closed() -> None:
    client, provided = Client(), Dependencies()
    provided.provide_value(Client, client)
    before_the_start = provided[Client]

    async with provided:
        assert provided[Client] is client

    assert before_the_start is client
    assert (client.open_count, client.closed) == (0, 0)


async def test_resources_are_closed_in_reverse_order() -> None:
    closed, provided = [], Dependencies()

    @provided.provide
    def open_first() -> Iterator[int]:
        yield 1
        closed.append("first")

    @provided.provide
    def open_second() -> Iterator[str]:
        yield ""
        closed.append("second")

    await provided.open()
    await provided.close()

    assert closed == ["second", "first"]


async def test_a_failure_to_open_closes_what_was_opened_before() -> None:
    client, provided = Client(), Dependencies()

    @provided.provide
    def provide_client() -> Client:
        return client

    @provided.provide
    def fail_to_provide() -> int:
        raise OSError("no route to the host")

    with pytest.raises(OSError, match="no route"):
        await provided.open()

    assert (client.open_count, client.closed) == (1, 1)


async def test_resources_may_be_opened_again_after_they_were_closed() -> None:
    provided = Dependencies()
    provided.provide(yield_client_async)

    async with provided:
        first = provided[Client]
    async with provided:
        second = provided[Client]

    assert first is not second


async def test_closing_twice_has_no_effect() -> None:
    provided = Dependencies()
    provided.provide(yield_client_async)
    await provided.open()
    client = provided[Client]

    await provided.close()
    await provided.close()

    assert client.closed == 1


async def test_opening_twice_is_refused() -> None:
    async with Dependencies() as provided:
        with pytest.raises(RuntimeError, match="open already"):
            await provided.open()


async def test_providing_after_the_start_is_refused() -> None:
    async with Dependencies() as provided:
        with pytest.raises(RuntimeError, match="returned is provided too late"):
            provided.provide(returned)


def test_a_resource_that_is_not_open_is_refused() -> None:
    provided = Dependencies()
    provided.provide(returned)

    with pytest.raises(RuntimeError, match="Client is not open"):
        provided[Client]


def test_a_type_that_nothing_provides_is_refused_with_those_that_are() -> None:
    provided = Dependencies()
    provided.provide(returned)

    with pytest.raises(KeyError, match="nothing provides Plain; provided: Client"):
        provided[Plain]


def test_provide_is_a_decorator_that_leaves_the_factory_as_it_is() -> None:
    assert Dependencies().provide(returned) is returned


async def test_new_types_tell_resources_of_one_class_apart() -> None:
    provided = Dependencies()
    provided.provide_value(Reader, Reader(Client()))
    provided.provide_value(Writer, Writer(Client()))

    assert provided[Reader] is not provided[Writer]


def test_a_type_is_provided_once() -> None:
    provided = Dependencies()
    provided.provide(returned)

    assert read_refusal(provided, yield_client) == (
        f"{describe_location(yield_client)}: Client is provided already, "
        f"by returned at {describe_location(returned)}.\n"
        "Use typing.NewType for a second one of the same class."
    )
    with pytest.raises(DefinitionError, match="provided already"):
        provided.provide_value(Client, Client())


def return_unannotated():  # type: ignore[no-untyped-def] # what is under test
    return Client()


def yield_anything() -> Iterator[Any]:
    yield 1


def yield_under_wrong_annotation() -> Client:  # type: ignore[misc] # what is under test
    yield Client()


@pytest.mark.parametrize("factory", [return_unannotated, yield_anything, yield_under_wrong_annotation])
def test_a_factory_that_does_not_say_its_type_is_refused(factory: Callable[..., Any]) -> None:
    message = read_refusal(Dependencies(), factory)

    assert message.startswith(
        f"{describe_location(factory)}: the factory {factory.__name__} has no usable return type: "
    )
    assert message.endswith(f"\nAnnotate it, as in: def {factory.__name__}() -> AsyncIterator[Client]")


def test_a_factory_without_a_name_or_an_annotation_is_refused() -> None:
    factory = functools.partial(nullcontext, 1)

    assert "the factory partial has no usable return type" in read_refusal(Dependencies(), factory)


def for_the_type_checker_only() -> Decimal:
    raise NotImplementedError


def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    assert read_refusal(Dependencies(), for_the_type_checker_only) == (
        f"{describe_location(for_the_type_checker_only)}: "
        "the annotations of the factory for_the_type_checker_only cannot be read: "
        "name 'Decimal' is not defined.\nImport it at the top of the module, outside `if TYPE_CHECKING:`."
    )


def of_a_url(url: str, retries: int = 3) -> Client:
    raise NotImplementedError(url, retries)


def test_a_factory_that_needs_arguments_is_refused() -> None:
    assert "the factory of_a_url requires arguments: url.\nGive them defaults, " in read_refusal(
        Dependencies(), of_a_url
    )


def read_refusal(provided: Dependencies, factory: Callable[..., Any]) -> str:
    with pytest.raises(DefinitionError) as caught:
        provided.provide(factory)
    return str(caught.value)


def describe_location(factory: Callable[..., Any]) -> str:
    return f"{format_path(__file__)}:{factory.__code__.co_firstlineno}"
