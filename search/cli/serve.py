"""`serve` and `token`: the service, and the tokens of its users."""

from __future__ import annotations

import logging
from pathlib import Path

from search.service.app import create_app
from search.service.http_server import make_server
from search.service.security.tokens import Role, make_token, read_holders
from search.service.settings import Settings, check_host, check_metric_modules, check_proxies, check_secrets
from search.storage.checks import check_tracking, check_writable
from tracking.mlflow_store.client import connect


def serve(host: str, port: int, settings: Settings) -> None:
    """Serve until a signal ends it. Searches go on; queued ones are started once a service runs again.

    Raises:
        RequestError: when the storage or MLflow cannot be used, an address holds a password, or others could reach the
            service without a token.
    """
    check_host(host, settings.tokens)
    check_secrets(settings)
    check_proxies(settings.proxies)
    check_metric_modules(settings.metric_modules)
    if settings.tokens is not None:
        read_holders(settings.tokens)
    check_writable(settings.storage)
    settings.storage.mkdir(parents=True, exist_ok=True)
    check_tracking(settings.tracking_uri, settings.storage)
    connect(settings.tracking_uri)  # creates a missing SQLite file, so that it can be read
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    make_server(create_app(settings), host, port, settings).run()


def token(name: str, role: Role, file: Path) -> None:
    """Make a token and print it; only its hash is kept."""
    print(make_token(file, name, role))
