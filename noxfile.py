"""The tests on every version of Python and SQLAlchemy that is supported: `nox`."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "oldest"]


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("sqlalchemy", ["2.0", "2.1"])
def tests(session: nox.Session, sqlalchemy: str) -> None:
    session.install("-e", ".[dev]", f"sqlalchemy~={sqlalchemy}.0")
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """Alembic's oldest release that is supported."""
    session.install("-e", ".[dev]", "sqlalchemy~=2.0.0", "alembic==1.13.3")
    session.run("pytest", *(session.posargs or sorted(map(str, Path("tests").glob("test_alembic_*.py")))))


@nox.session(python="3.11")
def thorough(session: nox.Session) -> None:
    """All tests, those that the suite leaves out to end in time among them, with more tries of each."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-m", "not corpora", *session.posargs, env={"SQLMIG_TEST_EFFORT": "4"})
