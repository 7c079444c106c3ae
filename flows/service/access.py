"""Who can reach the Prefect servers of this project: whoever has the home's password, from this machine.

A server listens on the loopback interface only, but every local user and every page in a browser on
the machine can send requests there. So a server asks for a password, grants no other origin anything
(CORS), wants a CSRF token with each change and answers to its own names only (`flows.service.app`).
"""

import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from llm.step import BadInput
from tasks.engine.home import Home

USER = "penstock"
HOSTS = ("127.0.0.1", "localhost")
"""The names by which a server may be addressed."""


def password_file(home: Home) -> Path:
    """Where the password of a home's servers lies."""
    return home.folder / "ui-password"


def auth_string(home: Home) -> str:
    """`user:password` for the servers of this home; made at random the first time.

    Raises BadInput where others could have read the file.
    """
    path = password_file(home)
    if not path.exists():
        _write_new(path)
    with path.open() as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        said = file.read().strip()
    if mode & 0o077:
        raise BadInput(
            f"other users may read {path} (its mode is {mode:o}): remove it, and the next command "
            "makes a new password; then restart `penstock ui`"
        )
    if not said:
        raise BadInput(f"{path} is empty: remove it, and the next command makes a new password")
    return said


def _write_new(path: Path) -> None:
    """Write a password, whole and private from its first byte; of two writers the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{USER}:{secrets.token_urlsafe(24)}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


_hidden: dict[str, str] = {}


def hide_password() -> None:
    """Take the password out of this process's environment, once Prefect has read its settings.

    Trainers, reading processes and the hooks that users write inherit the environment, and a hook
    that prints it would print the password into a log.
    """
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"):
        if name in os.environ:
            _hidden[name] = os.environ.pop(name)


def login_of_api(home: Home) -> str:
    """`user:password` for the server in use, as Prefect's own clients here have it; empty: none."""
    # A server that the user names is one of its own, with a password of its own or none.
    if os.environ.get("PREFECT_API_URL"):
        name = "PREFECT_API_AUTH_STRING"
        return os.environ.get(name) or _hidden.get(name, "")
    return auth_string(home)


def client_settings(home: Home) -> Mapping[str, str]:
    """What a client of this home's servers needs in its environment."""
    return {
        "PREFECT_API_AUTH_STRING": auth_string(home),
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
    }


def server_settings(home: Home, port: int) -> Mapping[str, str]:
    """What closes a server to everyone without the password, and to pages of other sites."""
    return {
        **client_settings(home),
        "PREFECT_SERVER_API_AUTH_STRING": auth_string(home),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        # The UI is a page of the server itself, so nobody else needs to be let in.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{name}:{port}" for name in HOSTS),
        "PREFECT_SERVER_UI_API_URL": "/api",
    }
