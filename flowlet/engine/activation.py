"""Activations: one run of an instance's handler, and the transition that follows, without touching the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any, Protocol

from flowlet.clock import Clock, format_duration
from flowlet.definition.definition import Definition
from flowlet.definition.entry import build_state_entry
from flowlet.definition.versions.migrations import VersionError, describe_higher_version
from flowlet.engine.attempt import Attempt, ends_process, take_back_cancellations
from flowlet.engine.children import NO_SPAWN, Spawn, UnknownChildError, build_spawn
from flowlet.engine.failures import fail_attempt, format_error, format_error_traceback
from flowlet.engine.handlers.handler_call import (
    HandlerCall,
    UnreadableError,
    fill_answer,
    fill_message,
    load_vars,
    save_vars,
)
from flowlet.engine.handlers.handler_context import ActivationInputs, ContextBuilder
from flowlet.engine.limits.effects import build_queued, is_without_slot, with_result
from flowlet.engine.messages.waits import wait_for_message
from flowlet.engine.people.entries import build_asking_inbox
from flowlet.engine.plan import NO_POLICY, Plan, Policy, build_plan, build_policy
from flowlet.engine.release import build_gated
from flowlet.engine.results import (
    build_effects,
    end_instance,
    enter_state,
    pass_deadline,
    resolve_next_state,
    return_to_wait,
)
from flowlet.engine.threads.handler_threads import HandlerThreads
from flowlet.errors import FlowletError, UnknownStateError, UnknownWorkflowError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import parse_json
from flowlet.instance.message import Message, ReceivedNames
from flowlet.instance.transition import Transition
from flowlet.log_setup import bind_attempt
from flowlet.protected_tasks import raise_refused_cancellations, take_refused_cancellations
from flowlet.workflow.context import NO_RELATIVES, Failure, Relatives, TransactionSource
from flowlet.workflow.outcome import Outcome

__all__ = ["ActivationRunner", "Resources"]


def _assume_stopped() -> bool:
    return True


class Resources(Protocol):
    """The open resources that handlers are given, by their type."""

    def __getitem__(self, type: Any, /) -> Any:
        """Return the opened resource of a type."""
        ...


class ActivationRunner:
    """Runs handlers.

    Args:
        find_definition: Returns a definition by its name, or raises ``UnknownWorkflowError``.
        resource_by_type: The open resources.
        clock: The clock of the history, of delays and deadlines.
        random: The source of the delays of retries.
        executor_id: The executor that runs the activations.
        digest: The digest of all definitions, for the gates of instances that none of them can run.
        is_known_elsewhere: Returns whether an executor has ever loaded a workflow, by its name; by default none has.
        max_threads: How many plain ``def`` handlers run at once. Others wait for a thread: that is no part of their
            attempt, nor of its timeout.
        on_thread_free: Called when a thread has become free, where none was.

    Attributes:
        threads: The threads of plain ``def`` handlers.
    """

    def __init__(
        self,
        find_definition: Callable[[str], Definition],
        resource_by_type: Resources,
        clock: Clock,
        random: Random,
        executor_id: str,
        *,
        digest: str = "",
        is_known_elsewhere: Callable[[str], Awaitable[bool]] | None = None,
        max_threads: int = 128,
        on_thread_free: Callable[[], None] | None = None,
    ) -> None:
        self._digest = digest
        self._is_known_elsewhere = is_known_elsewhere
        self._find_definition = find_definition
        self._resource_by_type = resource_by_type
        self._clock = clock
        self._random = random
        self._executor_id = executor_id
        self.threads = HandlerThreads(max_threads, on_free=on_thread_free)
        self._contexts = ContextBuilder(find_definition, clock)
        self._plans: dict[int, Plan] = {}

    def close(self) -> None:
        """Let the threads end; a handler that still runs in one runs to its end, without effect."""
        self.threads.close()

    async def run(
        self,
        instance: Instance,
        *,
        relatives: Relatives = NO_RELATIVES,
        transaction: TransactionSource,
        read_vars: Any = None,
        is_stopped: Callable[[], bool] = _assume_stopped,
        failure: Failure | None = None,
        message: Message | None = None,
        plan: Plan | None = None,
    ) -> Transition:
        """Run the handler of a claimed instance's state, and return everything that the commit has to write.

        Whatever a handler raises, ``SystemExit`` included, is a failed attempt and part of the transition. So is a
        cancellation that the handler, or a task of its own, has asked for. Where a handler runs to its end although it
        was cancelled, its transition is returned: the fence decides about it.

        Args:
            instance: The instance, as claimed.
            relatives: Its children and its parent, as far as the plan's ``context_attributes`` say that they are used.
            transaction: Opens the connection of ``Context.transaction``.
            read_vars: The variables as the previous transition of this lease left them, parsed and not yet given to a
                handler; None reads them from the instance.
            is_stopped: Returns whether the caller has cancelled this activation. Every other cancellation comes from
                the handler. By default every cancellation counts as the caller's.
            failure: What led to its state by ``on_error``, if the plan's ``reads_error`` says that it is used.
            message: The message that its state receives, whose id is the instance's ``message_id``; None for none.
            plan: What ``find_plan`` has returned.

        Raises:
            asyncio.CancelledError: If the caller has cancelled the activation; nothing is to be written then.
        """
        try:
            plan = plan or self._get_plan(instance)
        except FlowletError as error:
            return self._refuse_instance(instance, error)
        attempt = Attempt(instance, plan.policy, self._executor_id, self._clock.monotonic())
        bind_attempt(instance.state, instance.attempt + 1)
        handler = plan.handler
        is_asked = (plan.is_manual and instance.answer_json is None) or (plan.messages and message is None)
        if handler is None or is_asked or is_without_slot(instance, plan.state.limits):
            return self._skip_handler(plan, attempt, is_asked=bool(is_asked))
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        try:
            inputs = ActivationInputs(relatives, transaction, read_vars, failure, message)
            run = self._prepare_call(plan, attempt, inputs)
            if plan.is_async and plan.timeout is None:
                result = await handler(**run.arguments)
            else:
                result = await self._call_handler(plan, handler, run, attempt)
            attempt.end(self._clock)
            raise_refused_cancellations()
            if task and task.cancelling() > cancels and not is_stopped():
                await take_back_cancellations(task, cancels)
            spawn = await self._build_spawn(attempt, result)
            return with_result(self._build_success(plan, attempt, run, result, spawn), attempt, fault=None)
        except BaseException as error:  # whatever a handler raises is its instance's failure
            if ends_process(error, task):
                raise
            if task and task.cancelling() > cancels:
                if not is_stopped():
                    await take_back_cancellations(task, cancels)
                if is_stopped():
                    raise asyncio.CancelledError from error
            return await self._build_gated_or_failure(attempt, take_refused_cancellations(error) or error)

    def find_plan(self, instance: Instance) -> Plan | None:
        """Return the plan of an instance's state; None if it cannot be run here, which ``run`` answers."""
        try:
            return self._get_plan(instance)
        except FlowletError:
            return None

    def get_received_names(self, instance: Instance) -> ReceivedNames | None:
        """Return the names of the messages that the state of an instance receives; None for every other state."""
        plan = self.find_plan(instance)
        if plan is None:
            return None
        definition = plan.definition
        names = ReceivedNames(tuple(plan.messages), tuple(definition.messages), definition.version)
        return names if names.awaited else None

    def build_rejection(self, instance: Instance, error: Exception, *, refused: Transition | None = None) -> Transition:
        """Return the transition that replaces one whose row the store refused: a failed attempt.

        Args:
            instance: The instance as it was when the activation began.
            error: The error of the store; its text goes into the history.
            refused: The refused transition, for the lines that its handler logged.
        """
        attempt = self._start_attempt(instance)
        attempt.is_unanswered = refused is not None and refused.inbox is not None  # the entry is deleted at the end
        for action in refused.actions if refused else ():
            if action.kind is ActionKind.LOG:
                attempt.lines.append((action.at_us, action.text or ""))
        attempt.end(self._clock)
        return fail_attempt(attempt, error, detail=None, random=self._random)

    def _get_plan(self, instance: Instance) -> Plan:
        definition = self._find_definition(instance.type)
        state = definition.states.get(instance.state) or definition.get_state(instance.state)
        if instance.vars_version > definition.vars_version:
            raise VersionError(describe_higher_version(definition, instance.vars_version))
        plan = self._plans.get(id(state))  # the plan holds the state, so no other object can take its id
        if plan is None:
            plan = self._plans[id(state)] = build_plan(definition, state)
        return plan

    def _start_attempt(self, instance: Instance) -> Attempt:
        return Attempt(instance, self._get_policy(instance), self._executor_id, self._clock.monotonic())

    def _get_policy(self, instance: Instance) -> Policy:
        try:
            definition = self._find_definition(instance.type)
        except UnknownWorkflowError:
            return NO_POLICY
        return build_policy(definition, definition.find_state(instance.state))

    def _skip_handler(self, plan: Plan, attempt: Attempt, *, is_asked: bool) -> Transition:
        """Return the transition where no handler is to run: at an end, without an answer, a message, or a slot."""
        attempt.end(self._clock)
        if plan.handler is None:
            attempt.is_unanswered = True  # of a state that was a manual one in an earlier version, perhaps
            return end_instance(attempt, build_state_entry(plan.state))
        if not is_asked and plan.state.limits is not None:
            return build_queued(attempt.instance, plan.state.limits, now=attempt.ended_at)
        if plan.messages:
            return wait_for_message(plan, attempt)
        if plan.deadline_entry is None:
            return replace(return_to_wait(attempt), inbox=build_asking_inbox(attempt, plan.state))
        attempt.is_unanswered = True
        return pass_deadline(attempt, plan.deadline_entry, "no answer")

    def _prepare_call(self, plan: Plan, attempt: Attempt, inputs: ActivationInputs) -> HandlerCall:
        """Return the handler's arguments, with variables parsed again: a failed attempt leaves no changes in them."""
        instance, definition = attempt.instance, plan.definition
        arguments: dict[str, Any] = {}
        run = HandlerCall(arguments)
        if plan.is_manual:
            attempt.username = fill_answer(plan, run, parse_json(instance.answer_json or "{}"))
        if inputs.message is not None:
            fill_message(plan, run, inputs.message)
        if plan.reads_vars:
            load_vars(run, instance, definition, inputs.read_vars)
            for name in plan.vars_names:
                arguments[name] = run.vars
        for name, type_ in plan.resources:
            arguments[name] = self._resource_by_type[type_]
        if plan.context_names:
            run.context = self._contexts.build(plan, attempt, inputs, run)
            for name in plan.context_names:
                arguments[name] = run.context
        return run

    async def _call_handler(self, plan: Plan, handler: Callable[..., Any], call: HandlerCall, attempt: Attempt) -> Any:
        """Return a handler's result. A plain ``def`` runs in a thread; both kinds are stopped at their timeout."""
        if not plan.is_async:
            await self.threads.take()
            attempt.started_elapsed = self._clock.monotonic()  # the wait for a thread is not the attempt's
        called = handler(**call.arguments) if plan.is_async else self._call_in_thread(handler, call, attempt)
        if plan.timeout is None:
            return await called
        limit = asyncio.timeout(plan.timeout.total_seconds())
        # A handler's own TimeoutError is no timeout; one that catches its cancellation has still exceeded its timeout.
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
            raise TimeoutError(f"the attempt took longer than {format_duration(plan.timeout)}") from late
        return result

    def _call_in_thread(self, handler: Callable[..., Any], call: HandlerCall, attempt: Attempt) -> Awaitable[Any]:
        instance = attempt.instance
        subject = f"the handler of state {instance.state!r} of {instance.type} {instance.id}"
        return self.threads.call_handler(handler, call.arguments, subject=subject, stop_requested=call.stop_requested)

    async def _build_spawn(self, attempt: Attempt, result: object) -> Spawn:
        if not isinstance(result, Outcome) or not result.children:
            return NO_SPAWN
        return await build_spawn(attempt, result.children, self._find_definition, self._clock)

    def _build_success(
        self, plan: Plan, attempt: Attempt, call: HandlerCall, result: object, spawn: Spawn
    ) -> Transition:
        entry, outcome = resolve_next_state(plan, result, call.choice)
        variables = save_vars(plan, attempt, call)
        effects = build_effects(plan, entry, outcome, ended_at=attempt.ended_at, spawn=spawn, variables=variables)
        if plan.reads_vars and attempt.instance.vars_version != plan.definition.vars_version:
            effects = effects._replace(vars_version=plan.definition.vars_version)
        if call.message is not None and effects.text is None:
            effects = effects._replace(text=f"message {call.message.name!r}")
        return enter_state(attempt, entry, effects, preceding_actions=attempt.build_log_actions())

    def _refuse_instance(self, instance: Instance, error: FlowletError) -> Transition:
        if isinstance(error, UnknownStateError | VersionError):
            return self._build_gated(instance, str(error).partition(". ")[0])
        return self._build_failure(self._start_attempt(instance), error)

    async def _build_gated_or_failure(self, attempt: Attempt, error: BaseException) -> Transition:
        if isinstance(error, UnreadableError):
            return self._build_gated(attempt.instance, str(error))
        if isinstance(error, UnknownChildError) and self._is_known_elsewhere is not None:
            attempt.end(self._clock)
            if await self._is_known_elsewhere(error.type):
                reason = f"{error.type!r}, of which it spawns a child, is not loaded here"
                return self._build_gated(attempt.instance, reason)
        return self._build_failure(attempt, error)

    def _build_gated(self, instance: Instance, reason: str) -> Transition:
        """Return the transition that leaves the instance to executors with other definitions."""
        return build_gated(
            instance,
            now=self._clock.now(),
            executor_id=self._executor_id,
            digest=self._digest,
            version=self._find_definition(instance.type).version,
            reason=reason,
        )

    def _build_failure(self, attempt: Attempt, error: BaseException) -> Transition:
        attempt.end(self._clock)
        failed = fail_attempt(attempt, error, detail=format_error_traceback(error), random=self._random)
        return with_result(failed, attempt, fault=format_error(error))
