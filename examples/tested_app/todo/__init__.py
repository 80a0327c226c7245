"""Things to do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from sqlmig import Migrator

from .models import Task

__all__ = ["add", "boot", "open_tasks"]

MIGRATIONS = Path(__file__).parents[1] / "migrations" / "versions"


def boot(engine: Engine) -> None:
    """Bring the database to the version of this program."""
    Migrator(engine, MIGRATIONS).migrate()


def add(engine: Engine, title: str, urgent: bool = False) -> None:
    with Session(engine) as session, session.begin():
        session.add(Task(title=title, urgent=urgent))


def open_tasks(engine: Engine) -> list[str]:
    """The urgent ones first."""
    with Session(engine) as session:
        return list(session.scalars(select(Task.title).order_by(Task.urgent.desc(), Task.id)))
