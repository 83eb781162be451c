"""The entrypoint of the container image: it chooses the command and the user, and then becomes the command.

    python -I -m flowlet.cli.container [COMMAND [ARGUMENT...]]

Docker starts a container as root, and creates the folder of a volume as root too. Flowlet does not need root: the
folder is given to the image's user, and root's permissions are dropped permanently before anything else runs. A
container that is started as another user, as Kubernetes does, has no such permissions.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from flowlet.cli.first_process import hold_sigterm
from flowlet.database_url import get_sqlite_path, normalize_database_url
from flowlet.errors import SettingsError

__all__ = [
    "DATABASE_URL",
    "DATA_FOLDER",
    "USER",
    "change_owner",
    "choose_default_command",
    "drop_root",
    "exec_command",
    "find_folder_fault",
]

USER = "flowlet"
"""The user that runs the command if the container is started as root."""
DATA_FOLDER = Path("/data")
"""The folder of SQLite databases in the image, meant to be a volume."""
DATABASE_URL = "sqlite:////data/flowlet.db"
"""The image's default FLOWLET_DATABASE_URL."""
PRIVATE_UMASK = 0o077
"""Databases and backups have variables and hashes of passwords: no other user reads what the container writes."""
_DATABASE_FILES = ("*.db", "*.db-journal", "*.db-shm", "*.db-wal")
_NOT_RUNNABLE, _NOT_FOUND = 126, 127
"""Exit codes, as of a shell."""


def choose_default_command(environment: Mapping[str, str]) -> list[str]:
    """Return the command that runs if none is given: ``serve`` for the configured modules, or the demo.

    The demo runs on the configured database, so that every other command in the container means the same one; it
    prints an API key only on the image's own. On a database server, whose tables may be those of others, nothing starts
    by itself: ``serve`` reports that the modules are missing.
    """
    url = environment.get("FLOWLET_DATABASE_URL") or DATABASE_URL
    if environment.get("FLOWLET_MODULES") or not url.startswith("sqlite:"):
        return ["flowlet", "serve"]
    host = environment.get("FLOWLET_HOST") or "0.0.0.0"  # noqa: S104  # in a container
    login = ["--login"] if url == DATABASE_URL else []
    return ["flowlet", "demo", "--host", host, "--database", url, *login]


def find_folder_fault(environment: Mapping[str, str]) -> str | None:
    """Return why this process cannot keep its SQLite database in the folder of the settings, and the cure."""
    try:
        url = normalize_database_url(environment.get("FLOWLET_DATABASE_URL") or DATABASE_URL)
    except SettingsError:
        return None  # the command reports it
    if not url.startswith("sqlite:"):
        return None
    path = get_sqlite_path(url)
    folder = path.parent
    if not os.path.lexists(folder):
        return (
            f'There is no folder {folder} in this container. Mount a volume there: docker run -v "$PWD/data:{folder}"'
        )
    user = os.geteuid()
    for place, mode in ((folder, os.W_OK | os.X_OK), (path, os.W_OK)):
        # Not by Path.exists, which raises where a folder above may not be searched.
        if os.path.lexists(place) and not os.access(place, mode, effective_ids=True):
            owner = place.stat()
            return (
                f"{place} is not writable by the user id {user}: it belongs to {owner.st_uid}:{owner.st_gid} with the "
                f"mode {stat.S_IMODE(owner.st_mode):o}. Start the container with --user {owner.st_uid}:{owner.st_gid}, "
                f"or give it to that user on the host: chown -R {user} FOLDER. With SELinux, mount the volume with :Z."
            )
    return None


def change_owner(folder: Path, account: pwd.struct_passwd) -> None:
    """Give a folder and its database files to the account, if the account cannot write them.

    A file that cannot be changed, as on a read-only volume, is reported on stderr and left as it is: the database may
    be elsewhere.

    Raises:
        PermissionError: If root may not act as the account in this container.
    """
    for path in (folder, *_find_database_files(folder)):
        if _may_write(path, account):
            continue
        try:
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
        except OSError as error:
            cure = f"Give it to the user id {account.pw_uid}, or start the container with --user and its owner's id."
            click.echo(
                f"{path} is not writable by {account.pw_name} and cannot be given to it: {error.strerror}. {cure}",
                err=True,
            )


def drop_root(account: pwd.struct_passwd) -> None:
    """Become the account permanently, with its groups and no permissions of root.

    Raises:
        PermissionError: If root may not do so, as in a container without capabilities.
    """
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ["HOME"] = account.pw_dir


def exec_command(arguments: Sequence[str], *, user: str = USER, folder: Path = DATA_FOLDER) -> int:
    """Become the command, as ``user`` if this process runs as root. Return an exit code if that fails."""
    command = list(arguments) or choose_default_command(os.environ)
    os.umask(PRIVATE_UMASK)
    if os.geteuid() == 0:
        account = pwd.getpwnam(user)
        try:
            change_owner(folder, account)
            drop_root(account)
        except PermissionError:
            ids = f"{account.pw_uid}:{account.pw_gid}"
            click.echo(f"Root may not become {user} in this container. Start it with --user {ids}.", err=True)
            return _NOT_RUNNABLE
    if command[0] == "flowlet":
        if command[1:2] in (["demo"], ["serve"]) and (fault := find_folder_fault(os.environ)):
            click.echo(fault, err=True)
            return 1
        hold_sigterm()
    try:
        os.execvp(command[0], command)  # noqa: S606  # the given command, without a shell
    except FileNotFoundError:
        click.echo(
            f"There is no command {command[0]!r} in this container. Write Flowlet's commands like this: flowlet doctor",
            err=True,
        )
        return _NOT_FOUND
    except OSError as error:
        click.echo(f"{command[0]!r} cannot be run: {error.strerror}.", err=True)
        return _NOT_RUNNABLE


def _find_database_files(folder: Path) -> Iterator[Path]:
    """Yield the database files in a folder. Links are skipped: they may lead to files that are not to be given away."""
    for pattern in _DATABASE_FILES:
        for path in folder.glob(pattern):
            try:
                found = path.lstat()
            except FileNotFoundError:  # a process that still uses the database has removed its journal
                continue
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                yield path


def _may_write(path: Path, account: pwd.struct_passwd) -> bool:
    """Return whether the account may write to a file or into a folder, as the system answers that account."""
    groups = os.getgroups()
    os.initgroups(account.pw_name, account.pw_gid)
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        return os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


if __name__ == "__main__":
    sys.exit(exec_command(sys.argv[1:]))
