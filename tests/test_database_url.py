"""A database's URL: what is accepted, its parts, and what of it messages show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowlet.database_url import get_sqlite_path, mask_password, normalize_database_url, parse_server_url
from flowlet.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://ada:s3cret@host:5432/shop", "postgresql://ada:***@host:5432/shop"),
        ("mysql://ada:s3/c@r:et@host/shop", "mysql://ada:***@host/shop"),
        ("postgresql://:s3cret@host/shop", "postgresql://:***@host/shop"),
        ("postgresql://host/shop?user=ada&password=s3cret", "postgresql://host/shop?user=ada&password=***"),
        ("postgresql://host/shop?passwd=s3cret&sslmode=require", "postgresql://host/shop?passwd=***&sslmode=require"),
        ("mysql://host/shop?pass=s3#cr/et&ssl=true", "mysql://host/shop?pass=***&ssl=true"),
        ("postgresql://host/shop?sslpassword=s3cret", "postgresql://host/shop?sslpassword=***"),
        ("postgresql://host/shop?s3cret", "postgresql://host/shop?***"),
        ("postgresql://ada:s3?cr=et@host/shop", "postgresql://ada:***@host/shop"),
        ("postgresql://ada:s3cret@a:1,b:2/shop", "postgresql://ada:***@a:1,b:2/shop"),
        ("postgresql://ada@host:5432/shop", "postgresql://ada@host:5432/shop"),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("no url", "no url"),
    ],
)
def test_a_mask_hides_the_password_and_nothing_else(url: str, masked: str) -> None:
    assert mask_password(url) == masked


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("postgres://host/shop", "postgresql://host/shop"),
        ("mariadb://ada:pw@host:3306/shop", "mysql://ada:pw@host:3306/shop"),
        ("postgresql:///shop?host=/run/postgresql", "postgresql:///shop?host=/run/postgresql"),
        ("postgresql://host/shop?sslmode=require", "postgresql://host/shop?sslmode=require"),
        ("postgresql://a:1,b:2/shop", "postgresql://a:1,b:2/shop"),
        ("mysql://a,b:3307/shop?ssl-ca=/ca.pem", "mysql://a,b:3307/shop?ssl-ca=/ca.pem"),
        (" sqlite:///shop.db ", "sqlite:///shop.db"),
    ],
)
def test_a_url_is_brought_to_its_one_form(url: str, usable: str) -> None:
    assert normalize_database_url(url) == usable


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////tmp/shop.db", "/tmp/shop.db"),
        ("sqlite:///my%20shop.db", "my shop.db"),
    ],
)
def test_three_slashes_begin_a_relative_file_and_four_an_absolute_one(url: str, path: str) -> None:
    assert get_sqlite_path(normalize_database_url(url)) == Path(path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "expected sqlite:///file.db"),
        ("shop.db", "expected sqlite:///file.db"),
        ("postgresql+asyncpg://host/shop", "Write postgresql://, without the name of a driver"),
        ("sqlite://shop.db", "two slashes, but a file needs three or four"),
        ("sqlite:///shop.db?timeout=30", "an SQLite URL has no options"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///", "the file's name is missing"),
        ("sqlite:///missing/shop.db", "the folder 'missing' does not exist"),
        ("sqlite:////tmp", "'/tmp' is a folder"),
        ("postgresql://host", "the database's name is missing"),
        ("postgresql:///shop", "the host is missing"),
        (
            "postgresql://host/shop?sslmod=require",
            "'sslmod' is unknown. Did you mean 'sslmode'? Known: host, ssl, sslmode",
        ),
        ("mysql://host/shop?charset=", "'charset' is unknown. Known: ssl, ssl-ca, ssl-cert, ssl-key, unix_socket"),
        ("mysql://ada:pass#word@host/shop", "%23"),
        ("mysql://ada:pw@host:x/shop", "the port is not a number"),
        ("mysql://ada:12/34@host/shop", "only the database's name may follow the host"),
        ("mysql://a:1,b:x/shop", "the port is not a number"),
        ("mysql://a,[::x]/shop", "cannot be parsed"),
        ("mysql://a,[::1/shop", "cannot be parsed"),
        ("postgresql://ada:12?cret=x@host/shop", "'?' or '#'"),
        ("postgresql://host/shop?sslmode=always", "is 'always'. Expected one of disable, allow, prefer, require"),
        ("mysql://host/shop?ssl=require", "is 'require'. Expected one of true, false"),
        ("mysql://ada:pw\u2100@host/shop", "cannot be parsed"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_to_write_instead(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)) as caught:
        normalize_database_url(url, subject="--database")

    assert str(caught.value).startswith(f"--database is {mask_password(url)!r}: ")


def test_no_message_has_a_part_of_a_password_that_was_not_quoted() -> None:
    with pytest.raises(SettingsError) as caught:
        normalize_database_url("postgresql://ada:12?cret=x@host/shop")

    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://host/shop", (("host", None),)),
        ("postgresql://ada:p%2Cw@a:1,b,[::1]:3/shop", (("a", 1), ("b", None), ("::1", 3))),
        ("mysql://[::1],[::2]:3307/shop", (("::1", None), ("::2", 3307))),
        ("postgresql:///shop?host=/run/postgresql", (("/run/postgresql", None),)),
        ("mysql:///shop?unix_socket=/run/mysqld.sock", ()),
    ],
)
def test_a_url_may_have_several_hosts(url: str, hosts: tuple[tuple[str, int | None], ...]) -> None:
    assert parse_server_url(url).hosts == hosts


def test_the_parts_of_a_url_are_decoded() -> None:
    server = parse_server_url("mysql://%C3%A4da:p%40%C3%A4@host/sh%20op?ssl-ca=%2Fetc%2Fca.pem")

    assert (server.user, server.password, server.database) == ("äda", "p@ä", "sh op")
    assert server.options == {"ssl-ca": "/etc/ca.pem"}
