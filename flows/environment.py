"""Prefect's settings for this project; imported before Prefect is.

The project keeps a Prefect home of its own, so that a server, profile or database that the user
has for something else is left alone. `PREFECT_API_URL` in the environment is respected.
"""

import os
import sys
from contextlib import suppress

from flows.service.access import hide_password
from tasks.engine.home import Home

DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The run's log, tracebacks included, is in the UI; the command line says in a line what failed.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR" if "--debug" in sys.argv else "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "llm,tasks",
    # To look for plugins pydantic reads the metadata of every installed package.
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    # Prefect's own threads would print every log line and event that a lost server did not take.
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    # Waits 2, 4, 8, ... s: four minutes for a server that starts again or a database that is busy.
    "PREFECT_CLIENT_MAX_RETRIES": "7",
    # A server that Prefect would start by itself has no password (`flows.service.access`).
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
}


def prepare() -> Home:
    """Set what is not set yet; returns the project's home."""
    home = Home.find()
    home.prefect.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        home.prefect.chmod(0o700)  # the database tells all that runs are told
    os.environ["PENSTOCK_HOME"] = str(home.folder)
    os.environ["PREFECT_HOME"] = str(home.prefect)
    os.environ["PREFECT_PROFILES_PATH"] = str(home.prefect / "profiles.toml")
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if "PREFECT__FLOW_RUN_ID" in os.environ:
        hide_password()  # a run that a worker started: Prefect has read its settings
    return home


HOME = prepare()
