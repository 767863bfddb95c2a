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
from nefstudy.service import control, events, health, insights, metrics, neural_datasets, page, studies, trials
from nefstudy.service.artifacts import Artifacts
from nefstudy.service.events import Streams
from nefstudy.service.forwarded import Forwarding
from nefstudy.service.page import Page, page_directory
from nefstudy.service.problems import Problem, install_problems
from nefstudy.service.security import LOOPBACK_NAMES, Gate
from nefstudy.service.snapshot import Snapshots

THREADS = 6  # answer at once: more would only share the same processor, each with a database connection of its own

PARTS = (health, metrics, studies, insights, trials, neural_datasets, events, control, page)

BEARER = HTTPBearer(auto_error=False, description="NEFSTUDY_API_TOKEN, where the service has one")  # the gate asks

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": said, "content": {"application/problem+json": {}}}
    for status, said in {
        400: "not a request this service understands",
        401: "the token is missing or wrong",
        403: "this service only reads",
        404: "no such study, trial or file",
        405: "this path does not take that method",
        409: "this Idempotency-Key stands for another command",
        413: "the body is too large",
        421: "this host name is not served here",
        422: "a value is not allowed",
        503: "the ledger cannot be read at the moment",
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
    """The ASGI application that answers from `ledger`.

    Args:
        token: asked of every request, on every path; None serves whoever reaches the port.
        root: where the trials' pictures are; None serves none.
        hosts: names the service goes by in the Host header. By default loopback's without a token, any with one.
        forwarding: the path it is served below, and whose X-Forwarded headers are believed.
    """
    app = FastAPI(
        title="nefstudy",
        summary="Where a study of neural fields stands.",
        version=nefstudy.__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the Host header of whoever asks
        generate_unique_id_function=lambda route: route.name,
        responses=REFUSALS,
        dependencies=[Depends(BEARER)],
        lifespan=_few_threads,
    )
    app.state.ledger = ledger
    app.state.snapshots = Snapshots(ledger)
    app.state.coverages = studies.Coverages(ledger)
    app.state.artifacts = Artifacts(root)
    app.state.page = Page(page_directory())
    app.state.streams = Streams()
    app.state.controls = bool(token)
    for part in PARTS:
        app.include_router(part.router)
    install_problems(app)
    names = LOOPBACK_NAMES if hosts is None and not token else hosts
    app.add_middleware(Gate, token=token, hosts=names, forwarding=forwarding)
    return app


@asynccontextmanager
async def _few_threads(_app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = THREADS
    yield
