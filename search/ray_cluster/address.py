"""Check that a Ray cluster answers at an address, in a way that cannot hang; `ray.init` can, for minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from ray._private.authentication.authentication_token_setup import AUTH_MODE_ENV_VAR
from ray._raylet import Config  # type: ignore[attr-defined]

from spaces.errors import RequestError, Unreachable
from spaces.tcp import try_connecting

ANSWER_SECONDS = 30.0
_UNAUTHENTICATED = "AuthenticationError"


def check_address(address: str) -> None:
    """Check that a Ray head answers at HOST:PORT, or at the address that `auto` finds.

    Raises:
        Unreachable: when none does.
        RequestError: when the address has another form, or the cluster asks for a token that is not set.
    """
    found = _running_here() if address == "auto" else address
    shown = f"--address {address}" + (f" ({found})" if found != address else "")
    host, port = _host_and_port(found, shown)
    try:
        try_connecting(host, port)
    except OSError as error:
        raise Unreachable(f"{shown}: nothing answers there ({error}); allowed: a running Ray head") from None
    _ask(found, shown)


def _running_here() -> str:
    """Return the address of the cluster that RAY_ADDRESS names, else of one on this machine."""
    from ray._private.services import canonicalize_bootstrap_address

    try:
        found: str | None = canonicalize_bootstrap_address("auto")
    except ConnectionError:
        found = None
    except ValueError as error:
        raise RequestError(f"--address auto: RAY_ADDRESS: {error}; allowed: HOST:PORT of a Ray head") from None
    if not found:
        raise Unreachable("--address auto: no Ray cluster runs on this machine; allowed: a running one, or HOST:PORT")
    return found


def _host_and_port(address: str, shown: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:  # the port is no number, or too large
        host, port = None, None
    if not host or not port or parts.netloc != address or "@" in address:
        raise RequestError(f"{shown}: not HOST:PORT; allowed: HOST:PORT of a Ray head, or auto")
    return host, port


def _ask(address: str, shown: str) -> None:
    """Check that Ray's health check passes, and set this process to the cluster's mode of authentication.

    A driver that uses tokens on a cluster without them is taken for dead, and every trial with it.
    """
    given = os.environ.get(AUTH_MODE_ENV_VAR)
    reason = None
    for mode in ("disabled", "token") if given in (None, "disabled", "token") else (given,):
        reason = _problem(address, shown, {**os.environ, AUTH_MODE_ENV_VAR: mode})
        if reason is None:
            os.environ[AUTH_MODE_ENV_VAR] = mode
            Config.initialize("")  # Ray has read the variable already
            return
        if _UNAUTHENTICATED not in reason:
            raise Unreachable(f"{shown}: Ray's health check fails ({reason[:200]}); allowed: a running Ray head")
    raise RequestError(f"{shown}: the cluster asks for a token; allowed: {AUTH_MODE_ENV_VAR}=token and its token")


def _problem(address: str, shown: str, environment: Mapping[str, str]) -> str | None:
    """Run Ray's health check and return its complaint, if any. A process can be killed when it waits too long."""
    check = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(
            check,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
            env=dict(environment),
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(
            f"{shown}: what listens there does not answer as Ray within {ANSWER_SECONDS:g} s; "
            "allowed: the port of a Ray head (6379 unless chosen)"
        ) from None
    return None if done.returncode == 0 else " ".join(done.stderr.strip().splitlines()[-1:])
