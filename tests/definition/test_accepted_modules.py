"""What looks like a fault of a handler or a model, and is accepted."""

from __future__ import annotations

from pathlib import Path

from flowlet.definition.registry import Registry
from tests.definition.faulty_modules import write_module


def test_a_secret_with_a_serializer_that_tells_it_is_let_pass(tmp_path: Path) -> None:
    source = """
    class Login(BaseModel):
        token: SecretStr
        @field_serializer("token", when_used="json")
        def tell(self, token: SecretStr) -> str:
            return token.get_secret_value()
    workflow = Workflow("Orders", vars=Login)
    @state(start=True, next=["done"])
    def first(): ...
    done = end()
    """

    assert Registry().load(str(write_module(tmp_path, source))).vars


def test_what_a_return_does_not_surely_name_is_let_pass(tmp_path: Path) -> None:
    source = """
    @state(start=True, next=["ship"])
    def first(done: Any = None) -> Any:
        def inner() -> Any:
            return failed
        if inner is None:
            failed = ship
            return failed
        return done or (lambda: failed) or inner()
    @state(next=["done", "failed"])
    def ship() -> Next:
        return done
    done = end()
    failed = error()
    """
    path = write_module(tmp_path, source)

    definition = Registry().load(str(path))

    assert definition.states["first"].targets == ("ship",)


def test_a_parameter_with_a_default_that_nothing_fills_is_left_alone(tmp_path: Path) -> None:
    source = """
    @state(start=True, next=["done"])
    def first(ctx: Context, limit: int = 3, word="", other: "Unknown" = None, *, last: Context = None) -> None: ...
    done = end()
    """
    path = write_module(tmp_path, source)

    definition = Registry().load(str(path))

    assert [parameter.name for parameter in definition.states["first"].parameters] == ["ctx", "last"]
