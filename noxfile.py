"""The tests on every version of Python and SQLAlchemy that is supported: `nox`."""

from __future__ import annotations

import nox

nox.options.reuse_existing_virtualenvs = True


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("sqlalchemy", ["2.0", "2.1"])
def tests(session: nox.Session, sqlalchemy: str) -> None:
    session.install("-e", ".[dev]", f"sqlalchemy~={sqlalchemy}.0")
    session.run("pytest", *session.posargs)
