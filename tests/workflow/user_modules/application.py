"""A program that starts workflows, waits for them and operates them, with everything that it is given back."""

from datetime import datetime

from flowlet import (
    Action,
    ActionKind,
    Created,
    Definition,
    DefinitionError,
    DurationError,
    Fault,
    Flowlet,
    FlowletError,
    Instance,
    MissingRightsError,
    NotEndedError,
    NotFoundError,
    Operation,
    Operations,
    OutcomeError,
    PathChange,
    PermittedOperations,
    PrunedInstanceError,
    RefusedError,
    Registry,
    RowsLockedError,
    SchemaError,
    Sent,
    Settings,
    SettingsError,
    Store,
    StoreError,
    StoreUnavailableError,
    TimetableError,
    TooLargeError,
    UnknownInstanceError,
    UnknownLimitError,
    UnknownMessageError,
    UnknownScheduleError,
    UnknownStateError,
    UnknownWorkflowError,
    VariablesError,
    WaitStoppedError,
    WaitTimeoutError,
    open_store,
)
from flowlet.testing import Harness
from tests.workflow.user_modules.orders import Claim, Decision, Order, http, nightly, workflow

app = Flowlet(["tests.workflow.user_modules.orders"], settings=Settings())
app.provide(http)


async def place_order(order: Order) -> Instance | None:
    try:
        async with app.running():
            created: Created = await app.start(workflow, order, key="customer-7", external_id="order-7", when="1h")
            return await app.wait(created.id, states=["review"], timeout="1 minute")
    except WaitStoppedError as error:
        id: int | None = error.instance_id
        print(id)
    except WaitTimeoutError as error:
        instance: Instance | None = error.instance
        return instance
    except DefinitionError as error:
        faults: tuple[Fault, ...] = error.faults
        print(*faults)
    except (MissingRightsError, RowsLockedError, TooLargeError) as error:
        print(error)
    except (StoreUnavailableError, SchemaError, StoreError, SettingsError, DurationError) as error:
        print(error)
    except (UnknownWorkflowError, VariablesError, FlowletError) as error:
        print(error)
    return None


async def claim(order_id: int) -> bool:
    try:
        sent: Sent = await app.send("claim", Claim(text="broken"), to=order_id, key="mail-7", expires="30 days")
    except PrunedInstanceError:
        return False
    except UnknownMessageError as error:
        print(error)
        return False
    return sent.is_new


async def fire_now(operations: Operations) -> Created | None:
    try:
        return await operations.schedules.fire_now(nightly.name, username="anna")
    except UnknownScheduleError as error:
        print(error)
    except TimetableError as error:
        print(error.field, error.fault)
    except UnknownLimitError as error:
        print(error)
    return None


async def approve(operations: Operations, id: int) -> bool:
    try:
        answered = await operations.answer(id, "charge", form=Decision(), username="anna")
    except RefusedError as error:
        print(", ".join(error.permitted))
        return False
    except (UnknownInstanceError, UnknownStateError, NotFoundError) as error:
        print(error)
        return False
    permitted: PermittedOperations = operations.get_permitted_operations(answered)
    created: datetime = answered.created
    next_activation: datetime | None = answered.next_activation
    print(created, next_activation, answered.answer)
    return Operation.PAUSE in permitted.operations


async def operate_from_elsewhere(registry: Registry) -> Operations:
    async with open_store("sqlite:///flowlet.db") as store:
        return build_operations(store, registry)


def build_operations(store: Store, registry: Registry) -> Operations:
    definition: Definition = registry.load("tests.workflow.user_modules.orders")
    print(definition.states["review"].targets)
    return Operations(store, registry)


async def test_an_order() -> list[datetime]:
    async with Harness("tests.workflow.user_modules.orders", provide={int: 1}) as flow:
        id = await flow.start("OrderWorkflow", {"sku": "a", "amount": 2})
        try:
            ended: Instance = await flow.run_to_end(id, within="1 day")
        except (NotEndedError, OutcomeError):
            raise
        history: list[Action] = await flow.history(ended.id, ActionKind.TRANSITION)
        changes: list[PathChange] | None = history[-1].changes
        print(changes)
    return [line.at for line in history if line.changes]
