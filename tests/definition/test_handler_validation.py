"""What handlers, names and models are refused for: each fault tells the file, the line and the cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.definition.faulty_modules import build_fault_case, check_fault

RETURN_FAULTS = [
    build_fault_case(
        "a returned state outside next",
        """
        @state(start=True, next=["ship"])
        def first():
            return done  # here
        @state(next=["done"])
        def ship():
            return done
        done = end()
        """,
        """
        state 'first' returns 'done', which its next does not list.
        Add 'done' to next. Listed: ship.
        """,
    ),
    build_fault_case(
        "a returned outcome outside next",
        """
        @state(start=True, next=["ship"])
        async def first():
            if True:
                return ship
            return done.after("1 hour").log("late")  # here
        @state(next=["done"])
        def ship():
            return done
        done = end()
        """,
        """
        state 'first' returns 'done', which its next does not list.
        Add 'done' to next. Listed: ship.
        """,
    ),
    build_fault_case(
        "a conditional return outside next",
        """
        @state(start=True, next=["ship"])
        def first(order: Any = None):
            return ship if order else done  # here
        @state(next=["done"])
        def ship():
            return done
        done = end()
        """,
        """
        state 'first' returns 'done', which its next does not list.
        Add 'done' to next. Listed: ship.
        """,
    ),
    build_fault_case(
        "a returned name that no state has",
        """
        @state(start=True, next=["done"])
        def first():
            return "doen"  # here
        done = end()
        """,
        """
        state 'first' returns 'doen', but no such state is defined here.
        Did you mean 'done'? Defined: done, first.
        """,
    ),
]

PARAMETER_FAULTS = [
    build_fault_case(
        "a parameter that nothing provides",
        """
        workflow = Workflow("Orders", vars=Order)
        @manual(start=True, next=["done"], form=Form)  # here
        def first(order: Order, form: Form, path: "functools.partial"): ...
        done = end()
        """,
        """
        state 'first' has the parameter 'path: partial', which nothing provides.
        Provide it with app.provide(factory), where the factory returns partial, or give it a default. \
Available here: Context, Order (the variables), Form (the form).
        """,
    ),
    build_fault_case(
        "a parameter without annotation",
        """
        @state(start=True, next=["done"])  # here
        def first(order): ...
        done = end()
        """,
        """
        state 'first' has the parameter 'order' without an annotation.
        Annotate it. Available here: Context.
        """,
    ),
    build_fault_case(
        "a form in a state that has none",
        """
        @manual(start=True, next=["second"], form=Form)
        def first(): ...
        @state(next=["done"])  # here
        def second(form: Form): ...
        done = end()
        """,
        """
        state 'second' has the parameter 'form: Form', which nothing provides.
        It is the form of another state: make this one @manual(form=Form, ...), or remove the parameter.
        """,
    ),
    build_fault_case(
        "variables without a model",
        """
        @state(start=True, next=["done"])  # here
        def first(order: dict[str, Any]): ...
        done = end()
        """,
        """
        state 'first' has the parameter 'order: dict[str, Any]', which nothing provides.
        Without a model, the variables are at ctx.vars: add the parameter ctx: Context.
        """,
    ),
    build_fault_case(
        "a model that the workflow does not name",
        """
        workflow = Workflow("Orders")
        @state(start=True, next=["done"])  # here
        def first(order: Order): ...
        done = end()
        """,
        """
        If these are the variables, write Workflow('Orders', vars=Order).
        """,
    ),
    build_fault_case(
        "an annotation imported for the type checker only",
        """
        if TYPE_CHECKING:
            from decimal import Decimal
        @state(start=True, next=["done"])  # here
        def first(amount: "Decimal"): ...
        done = end()
        """,
        """
        state 'first': the parameter 'amount' cannot be read: NameError: name 'Decimal' is not defined.
        Import the name at the top of the module, outside `if TYPE_CHECKING:`.
        """,
    ),
    build_fault_case(
        "collected parameters",
        """
        @state(start=True, next=["done"])  # here
        def first(*args: Any): ...
        done = end()
        """,
        """
        state 'first' has the parameter '*args', but parameters are matched by annotation.
        Name each one; a decorator between @state and the function needs functools.wraps.
        """,
    ),
    build_fault_case(
        "a positional-only parameter",
        """
        @state(start=True, next=["done"])  # here
        def first(ctx: Context, /): ...
        done = end()
        """,
        """
        state 'first' has the positional-only parameter 'ctx'.
        Remove the '/' after it: parameters are passed by name.
        """,
    ),
    build_fault_case(
        "a generator",
        """
        @state(start=True, next=["done"])  # here
        async def first():
            yield done
        done = end()
        """,
        """
        state 'first' is a generator: its function has a yield.
        A handler returns the next state: write return, not yield.
        """,
    ),
]

NAME_AND_MODEL_FAULTS = [
    build_fault_case(
        "two names for one state",
        """
        @state(start=True, next=["done"])
        def first(): ...
        done = finished = end()  # here
        """,
        """
        one state has two names here, 'done' and 'finished'.
        Remove one of them.
        """,
    ),
    build_fault_case(
        "a name too long for the store",
        f"""
        @state(start=True, next=["{"d" * 121}"])
        def first(): ...
        {"d" * 121} = end()  # here
        """,
        """
        A state's name has at most 120 characters: shorten it.
        """,
    ),
    build_fault_case(
        "two workflows",
        """
        one = Workflow("One")
        two = Workflow("Two")  # here
        @state(start=True, next=["done"])
        def first(): ...
        done = end()
        """,
        """
        a second Workflow, 'Two': a module has at most one, and 'One' is at line 10.
        Move its states to a module of their own.
        """,
    ),
    build_fault_case(
        "variables that are no model",
        """
        workflow = Workflow("Orders", vars=dict)  # here
        @state(start=True, next=["done"])
        def first(): ...
        done = end()
        """,
        """
        vars of Workflow('Orders') is dict, not a subclass of pydantic.BaseModel.
        Give the class of the model.
        """,
    ),
    build_fault_case(
        "variables that JSON cannot hold",
        """
        class Open(BaseModel, arbitrary_types_allowed=True):
            stack: functools.partial
        workflow = Workflow("Orders", vars=Open)  # here
        @state(start=True, next=["done"])
        def first(): ...
        done = end()
        """,
        """
        Give each field a type that JSON can represent and that is defined when the module has been imported.
        """,
    ),
    build_fault_case(
        "a secret among the variables",
        """
        class Login(BaseModel):
            user: str
            token: SecretStr | None = None
        workflow = Workflow("Orders", vars=Login)  # here
        @state(start=True, next=["done"])
        def first(): ...
        done = end()
        """,
        """
        vars of Workflow('Orders'): Login.token is a secret, which would be stored as asterisks.
        Keep secrets in a resource, and store the name of the secret.
        """,
    ),
    build_fault_case(
        "a form that is an object",
        """
        @manual(start=True, next=["done"], form=Form())  # here
        def first(): ...
        done = end()
        """,
        """
        form of state 'first' is an object of Form, not a subclass of pydantic.BaseModel.
        Give the class of the model.
        """,
    ),
    build_fault_case(
        "the variables' model as a form",
        """
        workflow = Workflow("Orders", vars=Order)
        @manual(start=True, next=["done"], form=Order)  # here
        def first(): ...
        done = end()
        """,
        """
        state 'first' has Order, the model of the variables, as its form.
        Parameters are matched by annotation: use another class for the form.
        """,
    ),
]


@pytest.mark.parametrize(("source", "message"), [*RETURN_FAULTS, *PARAMETER_FAULTS, *NAME_AND_MODEL_FAULTS])
def test_a_fault_of_a_handler_or_model_is_told_once_with_its_line_and_its_cure(
    source: str, message: str, tmp_path: Path
) -> None:
    check_fault(tmp_path, source, message)
