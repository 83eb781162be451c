"""The limits whose instances an executor may run, and its claims through them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.definition.definition import Definition
from flowlet.definition.limits.limit_policy import LimitPolicy
from flowlet.engine.limits.open_lanes import OpenLanes
from flowlet.engine.wakeup import Wakeup
from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import Instance
from flowlet.instance.limit_gate import compute_type_mark
from flowlet.store.limits.survey import AdmissionRequest
from flowlet.store.opening import Store

__all__ = ["LimitClaims", "list_policies"]

RETRY_SECONDS = 0.25
"""How soon an executor looks again at a limit that other executors use up."""
MAX_REFUSED = 500
"""How many instances are remembered that this executor could not run."""


def list_policies(definitions: Iterable[Definition]) -> list[LimitPolicy]:
    """Return the limits of definitions: one of each state that has its own, and one of each workflow that has some."""
    found: dict[str, LimitPolicy] = {}
    for definition in definitions:
        for state in definition.states.values():
            if state.limits is not None:
                found.setdefault(state.limits.scope, state.limits)
    return list(found.values())


class LimitClaims:
    """Claims of one executor through the limits of its workflows.

    Args:
        store: The database.
        wakeup: Is set to the time at which another claim may find more.
        executor_id: The id under which instances are claimed.
        groups: The executor groups of the executor.
        definitions: Its workflows.
    """

    def __init__(
        self,
        store: Store,
        wakeup: Wakeup,
        *,
        executor_id: str,
        groups: Sequence[str],
        definitions: Sequence[Definition],
    ) -> None:
        self._store = store
        self._wakeup = wakeup
        self._executor_id = executor_id
        self._groups = tuple(groups)
        self._policies = {policy.scope: policy for policy in list_policies(definitions)}
        self._type_by_scope = {scope: policy.type for scope, policy in self._policies.items()}
        self._definitions = {definition.name: definition for definition in definitions}
        self._type_by_mark = {compute_type_mark(name): name for name in self._definitions}
        self._after: dict[str, str] = {}
        self._refused: OrderedDict[int, None] = OrderedDict()
        self._turn = 0

    async def note_marks(self, marks: Iterable[str]) -> None:
        """Find the limits, of some workflows, that the loaded definitions do not have: a former version had them.

        Args:
            marks: The marks of the workflows that have instances behind limits.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        found = {scope: policy.type for scope, policy in self._policies.items()}
        for mark in marks:
            if (type := self._type_by_mark.get(mark)) is not None:
                found |= dict.fromkeys(await self._store.admission.find_scopes(mark), type)
        self._type_by_scope = found

    def note_refusal(self, id: int) -> None:
        """Do not claim an instance again that came through a limit and cannot be run by the loaded definitions."""
        self._refused[id] = None
        if len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)

    async def claim(self, limit: int, lanes: OpenLanes, *, now: int) -> list[Instance]:
        """Lease due instances behind limits, the limits in turn.

        Args:
            limit: How many at most.
            lanes: Their workflows and groups.
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            StoreUnavailableError: If the database is away, and nothing has been leased.
        """
        claimed: list[Instance] = []
        scopes = [scope for scope, type in self._type_by_scope.items() if type in lanes.types]
        self._turn += 1
        for place in range(len(scopes)):
            if len(claimed) == limit:
                break
            scope = scopes[(self._turn + place) % len(scopes)]
            try:
                request = self._build_request(scope, limit - len(claimed), now, groups=lanes.groups)
                claimed += await self._claim_scope(request)
            except StoreUnavailableError:
                if not claimed:
                    raise
                break  # what is leased runs; the next claim meets the error again
        return claimed

    async def _claim_scope(self, request: AdmissionRequest) -> Sequence[Instance]:
        admitted = await self._store.admission.admit(request)
        if admitted.last_gate:
            self._after[request.scope] = admitted.last_gate
        self._wakeup.wake_at(admitted.next_due)
        if 0 < len(admitted.instances) < request.limit:  # more may be due: of other keys, or by the rate's next token
            self._wakeup.wake_at(request.now)
        if admitted.is_blocked:
            # From now on, not from when the claim began: one that takes long would be followed by another at once.
            self._wakeup.wake_at(self._store.clock.now() + round(RETRY_SECONDS * MICROSECONDS_PER_SECOND))
        return admitted.instances

    async def find_next_due(self, now: int) -> int | None:
        """Return when the next instance behind a limit can be claimed, after ``now``; None if none can.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        found = []
        for scope in self._type_by_scope:
            survey = await self._store.admission.survey(self._build_request(scope, 1, now, groups=self._groups))
            if survey.next_due is not None and survey.next_due > now:
                found.append(survey.next_due)
        return min(found, default=None)

    def _build_request(self, scope: str, limit: int, now: int, *, groups: Sequence[str]) -> AdmissionRequest:
        definition = self._definitions[self._type_by_scope[scope]]
        return AdmissionRequest(
            executor_id=self._executor_id,
            scope=scope,
            type=definition.name,
            version=definition.version,
            policy=self._policies.get(scope),
            groups=groups,
            limit=limit,
            now=now,
            after=self._after.get(scope, ""),
            vars_version=definition.vars_version,
            refused_ids=self._refused.keys(),
        )
