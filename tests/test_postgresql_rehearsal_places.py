"""Rehearsals on PostgreSQL of databases, roles and engines of every kind, which lead to the copy as to the original."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import Folder
from rehearsal_support import added, at, copies, database_called, of
from scratch_databases import own_database
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL


@pytest.fixture
def url() -> Iterator[URL]:
    with own_database() as url:
        yield url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("name", ["dbname=other", "Übung \"x\" 'y' %s-\\z", "postgresql://elsewhere/test"])
def test_odd_names(folder: Folder, name: str) -> None:
    with database_called(name) as url:
        engine = create_engine(url)
        at(
            url,
            """CREATE TYPE "Kind%t" AS ENUM ('a%s:b', 'c''d')""",
            """CREATE TABLE "Odd %s:x" ("c%(a)s" "Kind%t", "q""uo" int)""",
            """INSERT INTO "Odd %s:x" VALUES ('a%s:b', 1)""",
            """CREATE FUNCTION "f%s"(int) RETURNS int LANGUAGE sql AS $$ SELECT 1 -- %s :x $1\n$$""",
        )
        added(folder, 1, ['ALTER TABLE "Odd %s:x" ADD "n:ew%" text'], ['ALTER TABLE "Odd %s:x" DROP "n:ew%"'])
        report = of(engine, folder).rehearse()
        assert report, str(report)
        assert report.steps[0].schema_difference == ['~ table Odd %s:x: + column "n:ew%" text']
        assert copies(engine) == []
        engine.dispose()


def test_a_service_of_the_environment_does_not_lead_elsewhere(
    url: URL, engine: Engine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = folder.path / "services"
    services.write_text("[other]\nhost=127.0.0.1\nport=1\ndbname=elsewhere\nuser=nobody\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "other")
    added(folder, 1, ["CREATE TABLE t (i int)"], ["DROP TABLE t"])
    assert of(engine, folder).rehearse()
