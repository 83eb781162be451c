"""Users of a database with few rights: what they may do, and which missing rights the errors name."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pymysql
import pytest

from flowlet.errors import MissingRightsError, SchemaError
from flowlet.instance.new_instance import NewInstance
from flowlet.store.opening import Store, open_store
from tests.databases import SCHEMA, WRITER, build_writer_url, find_schema
from tests.house.source import ROOT
from tests.store.store_harness import StoreHarness

SETUP_PAGE = (ROOT / "docs/how-to/set-up-the-database.md").read_text(encoding="utf-8")
POSTGRES_SETUP, MARIADB_SETUP = re.findall(r"```sql\n(.*?)```", SETUP_PAGE, re.DOTALL)


async def execute_in_postgres(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def execute_in_mariadb(url: str, *statements: str) -> None:
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username, password="flowlet", ssl_disabled=True
    )
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def build_owner_url(url: str) -> str:
    """Return the URL of the same database for the role that owns it."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"flowlet@{parts.netloc.rpartition('@')[2]}").geturl()


@pytest.fixture
def bare_postgres_url(schema_postgres_url: str, empty_postgres_url: str) -> str:
    """The URL of a database without tables, for a role that may create nothing in it."""
    return build_writer_url(empty_postgres_url)


@pytest.fixture
def reader_mariadb_url(empty_mariadb_url: str) -> Any:
    """The URL of a database without tables, for a user that may only read one other table in it."""
    parts = urlsplit(empty_mariadb_url)
    database = parts.path[1:]
    drop = "DROP USER IF EXISTS reader@'127.0.0.1', reader@localhost"
    execute_in_mariadb(
        empty_mariadb_url,
        drop,
        f"CREATE TABLE {database}.other (id integer)",
        *(f"CREATE USER reader@'{host}' IDENTIFIED BY 'flowlet'" for host in ("127.0.0.1", "localhost")),
        *(f"GRANT SELECT ON {database}.other TO reader@'{host}'" for host in ("127.0.0.1", "localhost")),
    )
    yield parts._replace(netloc=f"reader:flowlet@{parts.netloc.rpartition('@')[2]}").geturl()
    execute_in_mariadb(empty_mariadb_url, drop)


async def create_instance(store: Store) -> None:
    new: NewInstance = StoreHarness(store).build_new_instance()
    await store.instances.create([new], now=1)


async def test_up_to_date_tables_are_opened_by_a_role_that_may_create_nothing(schema_postgres_url: str) -> None:
    async with open_store(schema_postgres_url, schema=SCHEMA, migrate=True) as store:
        await create_instance(store)

        assert (await store.queries.get(1)).external_id == "order-1"


async def test_up_to_date_tables_are_opened_by_a_user_of_mariadb_that_may_create_nothing(
    reader_mariadb_url: str, empty_mariadb_url: str
) -> None:
    async with open_store(empty_mariadb_url):
        pass
    database = urlsplit(empty_mariadb_url).path[1:]
    for host in ("127.0.0.1", "localhost"):
        execute_in_mariadb(
            empty_mariadb_url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO reader@'{host}'"
        )

    async with open_store(reader_mariadb_url, migrate=True) as store:
        await create_instance(store)

        assert (await store.queries.get(1)).external_id == "order-1"


async def test_a_role_that_may_not_use_the_schema_is_told_so_and_not_that_there_are_no_tables(
    schema_postgres_url: str,
) -> None:
    owner = build_owner_url(schema_postgres_url)
    await execute_in_postgres(owner, f'REVOKE USAGE ON SCHEMA "{SCHEMA}" FROM {WRITER}')

    try:
        with pytest.raises(
            MissingRightsError, match=f'lacks USAGE on the schema {SCHEMA}.*GRANT USAGE ON SCHEMA "{SCHEMA}"'
        ):
            async with open_store(schema_postgres_url, schema=find_schema(schema_postgres_url), migrate=False):
                pass
    finally:
        await execute_in_postgres(owner, f'GRANT USAGE ON SCHEMA "{SCHEMA}" TO {WRITER}')


async def test_a_role_without_a_right_on_a_table_is_told_which_and_how_to_grant_it(schema_postgres_url: str) -> None:
    owner, table = build_owner_url(schema_postgres_url), f'"{SCHEMA}".flowlet_workflow'
    await execute_in_postgres(owner, f"REVOKE INSERT, DELETE ON {table} FROM {WRITER}")

    try:
        async with open_store(schema_postgres_url, schema=SCHEMA) as store:
            with pytest.raises(MissingRightsError) as caught:
                await create_instance(store)
        assert "lacks DELETE, INSERT on flowlet_workflow. To grant it" in str(caught.value)
        (grant,) = [part for part in str(caught.value).split(": ") if part.startswith("GRANT")]
        await execute_in_postgres(owner, grant)
        async with open_store(schema_postgres_url, schema=SCHEMA) as store:
            await create_instance(store)
    finally:
        await execute_in_postgres(owner, f"GRANT INSERT, DELETE ON {table} TO {WRITER}")


async def test_a_role_that_has_to_create_the_tables_and_may_not_is_told_which_right_it_lacks(
    bare_postgres_url: str,
) -> None:
    await execute_in_postgres(build_owner_url(bare_postgres_url), "REVOKE CREATE ON SCHEMA public FROM PUBLIC")

    with pytest.raises(MissingRightsError, match=f'lacks CREATE on the schema public.*GRANT CREATE .* TO "{WRITER}"'):
        async with open_store(bare_postgres_url):
            pass
    with pytest.raises(MissingRightsError, match="lacks CREATE on the database .* to create the schema shop"):
        async with open_store(bare_postgres_url, schema="shop"):
            pass
    with pytest.raises(SchemaError, match="no Flowlet tables. Run: flowlet db upgrade"):
        async with open_store(bare_postgres_url, migrate=False):
            pass


async def test_a_role_that_may_use_no_schema_is_told_which_right_it_lacks(bare_postgres_url: str) -> None:
    await execute_in_postgres(build_owner_url(bare_postgres_url), "REVOKE ALL ON SCHEMA public FROM PUBLIC")

    for migrate in (True, False):
        with pytest.raises(MissingRightsError, match="lacks USAGE on the schema public; CREATE on the schema public"):
            async with open_store(bare_postgres_url, migrate=migrate):
                pass


async def test_a_search_path_without_a_schema_that_exists_is_told_of(empty_postgres_url: str) -> None:
    database = urlsplit(empty_postgres_url).path[1:]
    await execute_in_postgres(empty_postgres_url, f"ALTER DATABASE {database} SET search_path = nowhere")

    with pytest.raises(SchemaError, match="search path names no schema that exists. Set FLOWLET_SCHEMA"):
        async with open_store(empty_postgres_url):
            pass


async def test_a_closed_schema_with_tables_lacks_no_right_to_create_them(bare_postgres_url: str) -> None:
    owner = build_owner_url(bare_postgres_url)
    async with open_store(owner):
        pass
    await execute_in_postgres(owner, "REVOKE ALL ON SCHEMA public FROM PUBLIC")

    with pytest.raises(MissingRightsError) as caught:
        async with open_store(bare_postgres_url):
            pass

    assert "lacks USAGE on the schema public; DELETE, INSERT, SELECT, UPDATE on flowlet_action" in str(caught.value)
    await execute_in_postgres(owner, *str(caught.value).partition("owner runs: ")[2].split("; "))
    async with open_store(bare_postgres_url) as store:
        await create_instance(store)


@pytest.mark.parametrize("has_tables", [False, True])
async def test_a_user_of_mariadb_without_rights_on_the_tables_is_told_which_and_how_to_grant_them(
    reader_mariadb_url: str, empty_mariadb_url: str, has_tables: bool
) -> None:
    database = urlsplit(empty_mariadb_url).path[1:]
    if has_tables:
        async with open_store(empty_mariadb_url):
            pass

    for migrate in (True, False):
        with pytest.raises(MissingRightsError) as caught:
            async with open_store(reader_mariadb_url, migrate=migrate):
                pass
        assert "SELECT command denied to user 'reader'@" in str(caught.value)
        assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON `{database}`.* TO 'reader'@" in str(caught.value)


async def test_the_documented_roles_of_postgresql_create_and_use_the_tables(empty_postgres_url: str) -> None:
    url = urlsplit(empty_postgres_url)
    owner, app = (
        url._replace(netloc=f"flowlet_{name}:{name}-secret@{url.netloc.rpartition('@')[2]}").geturl()
        for name in ("owner", "app")
    )
    await execute_in_postgres(empty_postgres_url, POSTGRES_SETUP)

    try:
        async with open_store(owner, schema="flowlet"):
            pass
        async with open_store(app, schema="flowlet", migrate=False) as store:
            await create_instance(store)
        with pytest.raises(MissingRightsError, match="lacks CREATE on the schema public"):
            async with open_store(app):
                pass
    finally:
        for role in ("flowlet_app", "flowlet_owner"):
            await execute_in_postgres(empty_postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_the_documented_users_of_mariadb_create_and_use_the_tables(empty_mariadb_url: str) -> None:
    url = urlsplit(empty_mariadb_url)
    owner, app = (
        url._replace(netloc=f"flowlet_{name}:{name}-secret@{url.netloc.rpartition('@')[2]}").geturl()
        for name in ("owner", "app")
    )
    setup = MARIADB_SETUP.replace("shop", url.path[1:]).strip().removesuffix(";")
    execute_in_mariadb(empty_mariadb_url, *setup.split(";"))

    try:
        async with open_store(owner):
            pass
        async with open_store(app, migrate=False) as store:
            await create_instance(store)
    finally:
        execute_in_mariadb(empty_mariadb_url, "DROP USER flowlet_owner, flowlet_app")
