"""A search in several processes: Keras Tuner's chief, which hands out trials over gRPC, and its workers, which train them."""
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from synergynet_tf.errors import InputError

NAME, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
READY = "ready"             # in the project folder: the chief has prepared what workers need
LOOK_S = 1.0                # between two looks for it

Role = Literal["alone", "chief", "worker"]


def process_role(environment: Mapping[str, str] = os.environ) -> Role:
    """What this process is, by Keras Tuner's three environment variables.

    Raises:
        InputError: an address or port is set and another of the three is not.
    """
    variables = [name for name in (NAME, ADDRESS, PORT) if name in environment]
    if variables in ([], [NAME]):
        return "alone"
    if len(variables) < 3:
        missing = next(name for name in (NAME, ADDRESS, PORT) if name not in variables)
        raise InputError(f"{variables[-1]} is set, but {missing} is not; set all of {NAME}, {ADDRESS} and {PORT}, or none")
    return "chief" if "chief" in environment[NAME] else "worker"     # as Keras Tuner tells them apart


def address() -> str:
    """Where the chief listens, as host:port."""
    return f"{os.environ[ADDRESS]}:{os.environ[PORT]}"


def check_port() -> None:
    """See that the chief could listen: gRPC itself would share the port of another chief without a word.

    Raises:
        InputError: it could not.
    """
    try:
        with socket.create_server((os.environ[ADDRESS], int(os.environ[PORT]))):
            pass
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{ADDRESS} and {PORT} are {address()}, but the chief cannot listen there ({reason}): another search "
                         "may be running; choose another port") from None


def wait_for_chief(project: Path) -> None:
    """Return when the chief has prepared the project folder."""
    while not (project / READY).exists():
        time.sleep(LOOK_S)
