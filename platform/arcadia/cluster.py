"""Connecting to Ray: here, at an address, or inside a submitted job."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from arcadia.errors import UserError

_ANSWER_S = 5.0  # how long a head node may take to answer

# Advice of Ray's to its own developers or on things we chose, by logger.
_NOISE = {
    "ray.rllib.algorithms.algorithm_config": "on the new API stack!",
    "ray._common.deprecation": "`RLModule(config=[RLModuleConfig object])`",
    "ray.tune.utils.util": "Install gputil",
    "ray._private.authentication.authentication_token_setup": "Token authentication is enabled",
}
_started_here = False


def state_environment() -> None:
    """Says in this process's environment how Ray is to run; call it before Ray is imported.

    Token authentication is stated, not left to what a token file happens to switch on. Ray reads
    the mode when it is imported, so that it cannot be set later.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    # Ray 2.60 warns of a coming change in how many GPUs it shows to CPU tasks.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet()


def quiet() -> None:
    """Drops advice of Ray's to its own developers from this process's log; actors call it, too."""
    for name, words in _NOISE.items():
        logging.getLogger(name).addFilter(lambda record, w=words: w not in record.getMessage())


def quiet_data() -> None:
    """Keeps Ray Data's own account of its plans off the terminal; its log files have it still."""
    import ray.data  # noqa: F401  (its handlers are made when it is imported)

    for handler in logging.getLogger("ray.data").handlers:
        if type(handler) is not logging.FileHandler:
            handler.setLevel(logging.ERROR)


def connect(address: str | None = None, *, num_cpus: int | None = None) -> dict[str, Any]:
    """Joins a Ray cluster or starts Ray on this machine; nothing happens when it is joined already.

    Args:
        address: `host:port`, `ray://host:port`, `auto`, or None: the cluster of the job this
            process belongs to if it does (Ray sets RAY_ADDRESS there), or Ray started here.
        num_cpus: logical CPUs when Ray is started here; None: as many as there are, at least 2.

    Returns:
        The cluster's resources, such as `{"CPU": 8.0, "GPU": 1.0}`.

    Raises:
        UserError: no Ray answers at the address, or it refuses the token.
    """
    import ray

    global _started_here
    if not ray.is_initialized():
        target = address or os.environ.get("RAY_ADDRESS")
        _started_here = target is None
        if target is None:
            cpus = num_cpus or max(2, os.cpu_count() or 2)
            # "local" says so: without it Ray joins whatever cluster last ran on this machine.
            ray.init(
                "local",
                num_cpus=cpus,
                include_dashboard=False,
                logging_level=logging.WARNING,
            )
        else:
            _check_answers(target)
            try:
                ray.init(address=target, logging_level=logging.WARNING)
            except Exception as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(
                    f'address "{target}": Ray does not let us in ({type(error).__name__}: '
                    f"{reason}); check the address and the token (RAY_AUTH_TOKEN or "
                    "RAY_AUTH_TOKEN_PATH; RAY_AUTH_MODE=disabled for a cluster without)"
                ) from error
    return ray.cluster_resources()


def started_here() -> bool:
    """Whether the Ray that is joined was started by `connect` in this process, and ends with it."""
    import ray

    return _started_here and ray.is_initialized()


def largest_node_cpus() -> int:
    """Logical CPUs of the machine of the cluster that has most."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return max(int(resources.get("CPU", 0)) for resources in alive)


def check_gpus(wanted: float) -> None:
    """Refuses to ask for GPUs that the cluster does not have.

    Raises:
        UserError: fewer GPUs are there than `wanted`.
    """
    import ray

    there = ray.cluster_resources().get("GPU", 0.0)
    if wanted > there:
        raise UserError(
            f"num_gpus_per_learner {wanted:g}: the cluster has {there:g} GPUs; ask for at most that"
        )


def check_address(address: str) -> tuple[str, int] | None:
    """Host and port of an address, of which None is said where it names neither.

    Raises:
        UserError: it has another form.
    """
    if address in ("auto", "local"):
        return None
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UserError(f'address "{address}": give host:port, ray://host:port or auto')
    return host.strip("[]"), int(port)


def _check_answers(address: str) -> None:
    """A plain connection first: Ray itself waits long and says little when nobody is there."""
    place = check_address(address)
    if place is None:
        return
    try:
        socket.create_connection(place, timeout=_ANSWER_S).close()
    except (OSError, UnicodeError) as error:
        raise UserError(
            f'address "{address}": no Ray answers there ({error}); is the head node up?'
        ) from error
