"""The status service: REST over the ledger, and the study page."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

import nefstudy
from nefstudy.ledger import Ledger
from nefstudy.service.forwarded import Forwarding
from nefstudy.service.problems import ProblemDetails, install_error_handlers
from nefstudy.service.routes import control, events, health, insights, metrics, neural_datasets, page, studies, trials
from nefstudy.service.routes.artifacts import Artifacts
from nefstudy.service.routes.events import Streams
from nefstudy.service.routes.page import PageFiles, page_directory
from nefstudy.service.security import LOOPBACK_NAMES, SecurityMiddleware
from nefstudy.service.snapshot import Snapshots

THREADS = 6  # concurrent requests; more would share the same CPU and each need another database connection

ROUTE_MODULES = (health, metrics, studies, insights, trials, neural_datasets, events, control, page)

# For the API description only: SecurityMiddleware checks the token.
BEARER = HTTPBearer(auto_error=False, description="NEFSTUDY_API_TOKEN, if the service has one")

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "description": description, "content": {"application/problem+json": {}}}
    for status, description in {
        400: "malformed request",
        401: "missing or wrong token",
        403: "this service is read-only",
        404: "no such study, trial or file",
        405: "method not allowed on this path",
        409: "this Idempotency-Key was used for another command",
        413: "request body too large",
        421: "this host name is not served here",
        422: "a value is not allowed",
        503: "the ledger is temporarily unavailable",
    }.items()
}


def create_app(
    ledger: Ledger,
    *,
    token: str | None = None,
    root: str | Path | None = None,
    hosts: Collection[str] | None = None,
    forwarding: Forwarding = Forwarding(),
) -> FastAPI:
    """Return the ASGI application that serves `ledger`.

    Args:
        token: required for every request to any path; with None, all clients that reach the port are served.
        root: directory of the trials' pictures; with None, no pictures are served.
        hosts: accepted names in the Host header. Default: only loopback names without a token, any name with one.
        forwarding: the path prefix to serve under, and the proxies whose X-Forwarded headers are trusted.
    """
    app = FastAPI(
        title="nefstudy",
        summary="Progress and results of neural field studies.",
        version=nefstudy.__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would echo the client's Host header
        generate_unique_id_function=lambda route: route.name,
        responses=ERROR_RESPONSES,
        dependencies=[Depends(BEARER)],
        lifespan=_limit_threads,
    )
    app.state.ledger = ledger
    app.state.snapshots = Snapshots(ledger)
    app.state.coverages = studies.Coverages(ledger)
    app.state.artifacts = Artifacts(root)
    app.state.page = PageFiles(page_directory())
    app.state.streams = Streams()
    app.state.controls = bool(token)
    for module in ROUTE_MODULES:
        app.include_router(module.router)
    install_error_handlers(app)
    host_names = LOOPBACK_NAMES if hosts is None and not token else hosts
    app.add_middleware(SecurityMiddleware, token=token, hosts=host_names, forwarding=forwarding)
    return app


@asynccontextmanager
async def _limit_threads(_app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = THREADS
    yield
