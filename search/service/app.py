"""The application: routes, middleware before them, metrics, and the dispatcher's thread."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.middleware.base import BaseHTTPMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from search.service import problems
from search.service.cache.front_files import FrontFiles
from search.service.cache.single_flight import SingleFlight
from search.service.cache.trial_cache import TrialCache
from search.service.dependencies import Context
from search.service.dispatch.dispatcher import Dispatcher
from search.service.headers import add_headers
from search.service.jobs.ray_jobs import Jobs, known_jobs
from search.service.openapi import DocumentedApp
from search.service.prometheus import metrics_registry
from search.service.routes import exports, fronts, health, page, searches, tools
from search.service.security.concurrency_limits import ConcurrencyLimits
from search.service.security.rate_and_size_limits import RateAndSizeLimits
from search.service.settings import Settings
from search.service.status.search_status import list_statuses, search_status

DESCRIPTION = "Searches over adaptation methods under a limit on trainable parameters, on one Ray cluster."


def create_app(settings: Settings) -> FastAPI:
    """Return the application of a service.

    Its state is in MLflow and Ray, so that it may be restarted, or run several times, at any time.
    """
    jobs, trials = Jobs(settings.ray_jobs), TrialCache(settings.tracking_uri)
    dispatcher = Dispatcher(settings, jobs)
    context = Context(
        settings,
        jobs,
        dispatcher,
        trials,
        FrontFiles(),
        SingleFlight(lambda name: search_status(settings, trials, jobs, name)),
        SingleFlight(lambda _: list_statuses(settings, trials, known_jobs(jobs))),
    )

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        dispatcher.start()
        yield
        dispatcher.end()

    app = DocumentedApp(
        title="paretune",
        version=version("paretune"),
        description=DESCRIPTION,
        lifespan=running,
        docs_url=None,  # FastAPI's pages load scripts from other hosts
        redoc_url=None,
    )
    app.state.settings, app.state.context = settings, context
    problems.install_handlers(app)
    for part in (health, searches, fronts, exports, tools, page):
        app.include_router(part.router)
    app.add_middleware(BaseHTTPMiddleware, dispatch=add_headers)
    app.add_middleware(ConcurrencyLimits)
    app.add_middleware(RateAndSizeLimits, settings=settings)
    if settings.proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.proxies))
    metrics = metrics_registry(context)
    instrumentator = Instrumentator(excluded_handlers=["/metrics"], registry=metrics).instrument(app)
    instrumentator.expose(app, tags=["health"], **health.METRICS)
    return app
