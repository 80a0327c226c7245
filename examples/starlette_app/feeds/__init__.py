"""A reader of feeds."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sqlmig import Migrator

MIGRATIONS = Path(__file__).parents[1] / "migrations" / "versions"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Engine]]:
    """The event loop goes on while the database is migrated: whoever asks whether this worker lives has an answer."""
    engine = create_engine(os.environ.get("FEEDS_DATABASE", "sqlite:///feeds.db"))
    await Migrator(engine, MIGRATIONS, snapshot=True).migrate_async(rehearse=True)
    yield {"engine": engine}
    engine.dispose()


async def entries(request: Request) -> JSONResponse:
    return JSONResponse(await run_in_threadpool(_entries, request.state.engine, request.path_params["host"]))


def _entries(engine: Engine, host: str) -> list[str]:
    with engine.connect() as connection:
        query = text("SELECT title FROM entries WHERE host = :host ORDER BY id")
        return list(connection.scalars(query, {"host": host}))


app = Starlette(routes=[Route("/{host}", entries)], lifespan=lifespan)
