"""Activations: run an instance's handler once and say what follows, without touching the store."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple, NoReturn, Protocol

import orjson

from flowlet.clock import Clock
from flowlet.context import Context, TransactionSource
from flowlet.definition import Definition, validated
from flowlet.durations import spoken
from flowlet.engine.attempt import Attempt
from flowlet.engine.failures import failed, traceback_text
from flowlet.engine.offspring import children_of
from flowlet.engine.outcomes import Effects, chosen, effects_of, ended_here, entered, sent_back
from flowlet.engine.plan import NO_POLICY, Plan, Policy, entry_of, plan_of, policy_of
from flowlet.engine.variables import UNCHANGED, Saved, saved
from flowlet.errors import FlowletError, UnknownWorkflowError, VariablesError
from flowlet.instances import ActionKind, Instance
from flowlet.transitions import Transition

__all__ = ["THREAD_PREFIX", "Activations", "Resources"]

THREAD_PREFIX = "flowlet-handler"
"""How the threads of plain ``def`` handlers are called."""


class Resources(Protocol):
    """What handlers are given besides their instance: opened resources by their type."""

    def __getitem__(self, type: Any, /) -> Any:
        """Return the opened resource of a type."""
        ...


@dataclass(slots=True)
class _Run:
    """What a handler was given, as far as it is looked at again afterwards."""

    arguments: dict[str, Any]
    vars: Any = None
    context: Context | None = None
    choice: str | None = None


class _Surroundings(NamedTuple):
    children: tuple[Instance, ...]
    parent: Instance | None
    transaction: TransactionSource
    read_vars: Any


class Activations:
    """Runs handlers.

    Args:
        definition: Finds a definition by its name, or raises ``UnknownWorkflowError``.
        provided: The opened resources.
        clock: Times of the history, delays and deadlines.
        random: Where delays of retries are drawn from.
        executor_id: Whose activations they are.
        threads: How many plain ``def`` handlers run at once; more wait for a thread, which counts for their timeout.
    """

    def __init__(
        self,
        definition: Callable[[str], Definition],
        provided: Resources,
        clock: Clock,
        random: Random,
        executor_id: str,
        *,
        threads: int = 128,
    ) -> None:
        self._definition = definition
        self._provided = provided
        self._clock = clock
        self._random = random
        self._executor_id = executor_id
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=THREAD_PREFIX)
        self._plans: dict[int, Plan] = {}

    def close(self) -> None:
        """Let go of the threads; one that is still in a handler goes on to its end, without effect."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(
        self,
        instance: Instance,
        *,
        children: tuple[Instance, ...] = (),
        parent: Instance | None = None,
        transaction: TransactionSource,
        read_vars: Any = None,
    ) -> Transition:
        """Run the handler of a claimed instance's state and return everything that the commit has to write.

        Whatever a handler raises, ``SystemExit`` included, is a failed attempt and part of the answer. A handler
        that goes on to its end although it was cancelled has its transition returned: the fence decides about it.

        Args:
            instance: The instance, as claimed.
            children: Those it has spawned, oldest first.
            parent: The one that spawned it.
            transaction: Where ``Context.transaction`` gets its connection from.
            read_vars: The variables as the previous transition of this lease left them, read and not yet handed to
                anybody; None to read them from the instance.

        Raises:
            asyncio.CancelledError: If the activation is cancelled from outside; nothing is to be written.
        """
        try:
            plan = self._plan_of(instance)
        except FlowletError as error:
            return self._failed(self._attempt(instance), error)
        attempt = Attempt(instance, plan.policy, self._executor_id, self._clock.elapsed())
        handler = plan.handler
        if handler is None or (plan.is_manual and instance.answer is None):
            return self._unasked(plan, attempt)
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        try:
            run = self._prepared(plan, attempt, _Surroundings(children, parent, transaction, read_vars))
            if plan.is_async and plan.timeout is None:
                result = await handler(**run.arguments)
            else:
                result = await self._called(plan, handler, run.arguments)
            attempt.end(self._clock)
            return self._succeeded(plan, attempt, run, result)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # whatever a handler raises is its instance's failure
            if task and task.cancelling() > cancels:
                raise asyncio.CancelledError from error
            return self._failed(attempt, error)

    def gives_context(self, instance: Instance) -> bool:
        """Return whether the handler of an instance's state is given a Context, with children and parent in it."""
        try:
            return bool(self._plan_of(instance).context_names)
        except FlowletError:
            return False

    def rejected(self, instance: Instance, error: Exception, *, refused: Transition | None = None) -> Transition:
        """Return the transition that takes the place of one whose row the store refused: a failed attempt.

        Args:
            instance: The instance as it was when the activation began.
            error: What the store said; its text goes into the history.
            refused: The transition that was refused, for the lines that its handler logged.
        """
        attempt = self._attempt(instance)
        for action in refused.actions if refused else ():
            if action.kind is ActionKind.LOG:
                attempt.lines.append((action.at, action.text or ""))
        attempt.end(self._clock)
        return failed(attempt, error, detail=None, random=self._random)

    def _plan_of(self, instance: Instance) -> Plan:
        definition = self._definition(instance.type)
        state = definition.states.get(instance.state) or definition.state(instance.state)
        plan = self._plans.get(id(state))  # the plan holds the state, so no other object can take its id
        if plan is None:
            plan = self._plans[id(state)] = plan_of(definition, state)
        return plan

    def _attempt(self, instance: Instance) -> Attempt:
        return Attempt(instance, self._policy_of(instance), self._executor_id, self._clock.elapsed())

    def _policy_of(self, instance: Instance) -> Policy:
        try:
            definition = self._definition(instance.type)
        except UnknownWorkflowError:
            return NO_POLICY
        return policy_of(definition, definition.states.get(instance.state))

    def _unasked(self, plan: Plan, attempt: Attempt) -> Transition:
        """Return what follows where no handler is to be run: an end, or a manual state without an answer."""
        attempt.end(self._clock)
        if plan.handler is None:
            return ended_here(attempt, entry_of(plan.state))
        if plan.on_deadline is None:
            return sent_back(attempt)
        return entered(attempt, plan.on_deadline, Effects(text="no answer before the deadline"), before=())

    def _prepared(self, plan: Plan, attempt: Attempt, around: _Surroundings) -> _Run:
        """Return the handler's arguments, with variables read anew: a failed attempt leaves nothing behind in them."""
        instance, definition = attempt.instance, plan.definition
        arguments: dict[str, Any] = {}
        run = _Run(arguments)
        if plan.is_manual:
            answer = orjson.loads(instance.answer or "{}")
            run.choice, attempt.username = answer.get("choice"), answer.get("username")
            _fill_form(plan, arguments, answer.get("form"))
        if plan.reads_vars:
            is_read = around.read_vars is not None
            run.vars = around.read_vars if is_read else definition.read_vars(instance.vars)
            for name in plan.vars_names:
                arguments[name] = run.vars
        for name, type_ in plan.resources:
            arguments[name] = self._provided[type_]
        if plan.context_names:
            run.context = self._context(plan, attempt, around, run)
            for name in plan.context_names:
                arguments[name] = run.context
        return run

    def _context(self, plan: Plan, attempt: Attempt, around: _Surroundings, run: _Run) -> Context:
        instance = attempt.instance
        return Context(
            workflow=instance,
            vars=run.vars if plan.definition.vars is None else {},
            attempt=attempt.number,
            # An external id has one instance, and a visit is entered once: no other activation has this key.
            idempotency_key=f"{instance.external_id}/{instance.visit}",
            children=around.children,
            parent=around.parent,
            choice=run.choice,
            username=attempt.username,
            _clock=self._clock,
            _transaction=around.transaction if plan.is_async else _no_transaction,
            _lines=attempt.lines,
        )

    async def _called(self, plan: Plan, handler: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Return a handler's result: run in a thread where it is a plain ``def``, stopped at its timeout."""
        called = handler(**arguments) if plan.is_async else self._threaded(handler, arguments)
        if plan.timeout is None:
            return await called
        limit = asyncio.timeout(plan.timeout.total_seconds())
        # A handler's own TimeoutError is none of ours; a handler that swallows the cancellation is late all the same.
        result, late = None, None
        try:
            async with limit:
                result = await called
        except (Exception, asyncio.CancelledError) as error:
            if not limit.expired():
                raise
            stopped = error.__cause__ or error.__context__
            late = stopped if isinstance(stopped, asyncio.CancelledError) else error
        if limit.expired():
            raise TimeoutError(f"the attempt took longer than {spoken(plan.timeout)}") from late
        return result

    async def _threaded(self, handler: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        result, error = await loop.run_in_executor(self._threads, lambda: context.run(_caught, handler, arguments))
        if error is not None:
            raise error
        return await result if inspect.isawaitable(result) else result

    def _succeeded(self, plan: Plan, attempt: Attempt, run: _Run, result: object) -> Transition:
        entry, outcome = chosen(plan, result, run.choice)
        variables = _saved(plan, attempt, run)
        requests = outcome.children if outcome is not None else ()
        children = (
            children_of(attempt.instance, requests, now=attempt.at, definition=self._definition) if requests else ()
        )
        effects = effects_of(plan, entry, outcome, at=attempt.at, children=children, variables=variables)
        return entered(attempt, entry, effects, before=attempt.logged())

    def _failed(self, attempt: Attempt, error: BaseException) -> Transition:
        attempt.end(self._clock)
        return failed(attempt, error, detail=traceback_text(error), random=self._random)


def _saved(plan: Plan, attempt: Attempt, run: _Run) -> Saved:
    """Return what to store of the variables as the handler left them."""
    definition, context = plan.definition, run.context
    if context is not None:
        if definition.vars is None:
            return saved(definition, attempt.instance.vars, context.vars)
        if context.vars:
            cure = f"has a model: change the parameter annotated with {definition.vars.__name__}, not ctx.vars"
            raise VariablesError(f"the variables of {definition.name}", {"": cure})
    return saved(definition, attempt.instance.vars, run.vars) if plan.reads_vars else UNCHANGED


def _fill_form(plan: Plan, arguments: dict[str, Any], values: dict[str, Any] | None) -> None:
    if plan.form_names and plan.state.form is not None:
        form = validated(plan.state.form, values or {}, f"the form of {plan.state.name!r}")
        arguments.update(dict.fromkeys(plan.form_names, form))


def _caught(handler: Callable[..., Any], arguments: dict[str, Any]) -> tuple[Any, BaseException | None]:
    # A future refuses to hold a StopIteration, and the loop would then wait for ever.
    try:
        return handler(**arguments), None
    except BaseException as error:  # noqa: BLE001  # raised again by who waits for the thread
        return None, error


def _no_transaction() -> NoReturn:
    raise RuntimeError(
        "ctx.transaction() belongs to the event loop, and a plain def handler runs in a thread: write it as async def"
    )
