"""The spans of OpenTelemetry: what they tell of runs that succeed, fail and are taken back, and that they are free."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from async_places import KINDS, place_of
from conftest import Folder
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from places import Place
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic_compat import AlembicMigrator
from sqlmig import MigrationFailed, Migrator, ValidationFailed

Spans = Callable[[], list[ReadableSpan]]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """The application's, which a process can set but once by the API."""
    made = TracerProvider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", made)
    return made


@pytest.fixture
def spans(provider: TracerProvider) -> Spans:
    """The spans that have ended since the last call, in the order in which they began."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def take() -> list[ReadableSpan]:
        found = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        exporter.clear()
        return found

    return take


def names(spans: list[ReadableSpan]) -> list[str]:
    return [span.name for span in spans]


def told(span: ReadableSpan, *keys: str) -> list[Any]:
    assert span.attributes is not None
    return [span.attributes.get(f"sqlmig.{key}") for key in keys]


def is_inside(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and span.parent.span_id == parent.context.span_id


def exceptions(span: ReadableSpan) -> list[dict[str, Any]]:
    return [dict(one.attributes or {}) for one in span.events if one.name == "exception"]


# What is told, on every database


def test_a_run_and_its_migrations(spans: Spans, place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, "self.execute_sql('UPDATE t1 SET n = 7')\nself.execute_sql('INSERT INTO t1 VALUES (2, NULL)')")
    folder.add(3, extra="def pre_migrate_checks(self): return False")
    place.migrator(folder).migrate()
    run, first, second, third = spans()
    assert names([run, first, second, third]) == [
        "sqlmig migrate",
        "sqlmig apply 001",
        "sqlmig apply 002",
        "sqlmig apply 003",
    ]
    assert all(is_inside(child, run) for child in (first, second, third))
    about = ("direction", "version.from", "version.to", "migrations", "outcome")
    assert told(run, *about) == ["up", 0, 3, 3, "succeeded"]
    what = ("migration.version", "migration.description", "direction", "rows", "outcome")
    assert told(first, *what) == [1, "step 1", "up", 1, "applied"]
    assert told(second, *what) == [2, "step 2", "up", 2, "applied"]
    assert told(third, *what) == [3, "step 3", "up", 0, "skipped"]
    assert {span.status.status_code for span in (run, first, second, third)} == {trace.StatusCode.UNSET}
    for span in (run, first):
        assert span.attributes is not None
        assert span.attributes["db.system.name"] == place.database
        url = place.look.url
        assert span.attributes["db.namespace"] == str(url.database)
        assert span.attributes.get("server.address") == url.host
        assert span.attributes.get("server.port") == url.port


def test_rows_are_counted_whatever_they_say(spans: Spans, place: Place, folder: Folder) -> None:
    folder.add(
        1,
        """
self.execute_sql("CREATE TABLE old_migration_history (n VARCHAR(99))")
self.execute_sql("INSERT INTO old_migration_history VALUES ('of migration_history')")
self.execute_sql("UPDATE old_migration_history SET n = 'migration_history'")
""",
    )
    place.migrator(folder).migrate()
    _, migration = spans()
    assert told(migration, "rows") == [2]


def test_a_migration_that_fails(spans: Spans, place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, "self.execute_sql('INSERT INTO nowhere (id) SELECT id FROM t1')")
    with pytest.raises(MigrationFailed) as caught:
        place.migrator(folder).migrate()
    run, first, second = spans()
    assert told(first, "outcome") == ["applied"]
    assert first.status.status_code is trace.StatusCode.UNSET
    assert told(run, "version.to", "migrations", "outcome") == [1, 1, "failed"]
    for span in (run, second):
        assert span.attributes is not None
        assert span.attributes["error.type"] == "sqlmig.errors.MigrationFailed"
        assert span.status.status_code is trace.StatusCode.ERROR
        assert span.status.description == str(caught.value).partition("\n")[0]
    (exception,) = exceptions(second)
    assert exceptions(run) == []
    assert exception["exception.message"] == str(caught.value)
    assert "002_step_2.py" in exception["exception.stacktrace"]


def test_a_rollback(spans: Spans, place: Place, folder: Folder) -> None:
    for version in (1, 2):
        folder.table(version)
    migrator = place.migrator(folder)
    migrator.migrate()
    spans()
    migrator.rollback_to_version(0)
    run, second, first = spans()
    assert names([run, second, first]) == ["sqlmig rollback", "sqlmig rollback 002", "sqlmig rollback 001"]
    assert told(run, "direction", "version.from", "version.to", "migrations") == ["down", 2, 0, 2]
    assert told(first, "direction", "outcome") == ["down", "rolled back"]


# What counts


def test_what_is_undone_with_others_is_told_so(spans: Spans, migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, "raise ValueError('no')")
    with pytest.raises(MigrationFailed):
        migrator.migrate(all_or_nothing=True)
    run, first, second = spans()
    assert [*told(first, "outcome"), *told(second, "outcome"), *told(run, "outcome")] == ["undone", "failed", "failed"]
    assert first.status.status_code is trace.StatusCode.UNSET
    assert first.end_time is not None
    assert second.start_time is not None
    # It ended when it was done, and not when that was undone.
    assert first.end_time <= second.start_time


def test_a_commit_that_fails_is_the_migrations_failure(spans: Spans, engine: Engine, folder: Folder) -> None:
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE p (id INTEGER PRIMARY KEY)")
self.execute_sql("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
self.execute_sql("INSERT INTO c VALUES (1)")""",
    )
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    with pytest.raises(MigrationFailed, match="FOREIGN KEY"):
        Migrator(engine, folder.path, on_data_loss="ignore").migrate()
    run, only = spans()
    assert told(only, "outcome") == ["failed"]
    assert len(exceptions(only)) == 1
    assert told(run, "migrations") == [0]


@pytest.mark.parametrize(("extra", "rows"), [("transactional = False", 1), ("resumable = True", None)])
def test_a_migration_with_transactions_of_its_own_is_one_span(
    spans: Spans, migrator: Migrator, folder: Folder, extra: str, rows: int | None
) -> None:
    folder.table(1)
    folder.add(2, "for rows in self.batches('t1'):\n    self.update_rows('t1', [{'id': 1, 'n': 'x'}])", extra=extra)
    migrator.migrate()
    assert names(found := spans()) == ["sqlmig migrate", "sqlmig apply 001", "sqlmig apply 002"]
    assert told(found[2], "outcome", "rows") == ["applied", rows]


def test_a_refusal_is_told(spans: Spans, migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    folder.table(3)
    with pytest.raises(ValidationFailed):
        migrator.migrate()
    (run,) = spans()
    assert run.name == "sqlmig migrate"
    assert told(run, "outcome") == ["failed"]
    assert len(exceptions(run)) == 1


def test_a_lock_that_is_not_had_is_told(spans: Spans, engine: Engine, folder: Folder) -> None:
    folder.table(1)
    with engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(Exception, match="locked"):
            Migrator(engine, folder.path, lock_timeout=0).migrate()
    (run,) = spans()
    assert run.status.status_code is trace.StatusCode.ERROR
    assert len(exceptions(run)) == 1


def test_rows_of_people_are_not_told(spans: Spans, migrator: Migrator, folder: Folder) -> None:
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE people (mail TEXT UNIQUE)")
self.execute_sql("INSERT INTO people VALUES (lower(?))", ("ADA@EXAMPLE.ORG",))""",
    )
    folder.add(
        2,
        """mail = self.db.fetch_one("SELECT mail FROM people")["mail"]
self.execute_sql("INSERT INTO people VALUES (?)", (mail,))""",
    )
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    (exception,) = exceptions(spans()[-1])
    assert "UNIQUE constraint failed" in exception["exception.stacktrace"]
    assert "ada@example.org" not in str(exception)


def test_rehearsals_and_restores(spans: Spans, migrator: Migrator, folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    migrator.migrate()
    snapshot = migrator.create_snapshot()
    folder.table(2)
    spans()
    assert migrator.rehearse()
    rehearsal, *passes = spans()
    assert names([rehearsal, *passes]) == [
        "sqlmig rehearse",
        "sqlmig migrate",
        "sqlmig apply 002",
        "sqlmig rollback",
        "sqlmig rollback 002",
        "sqlmig migrate",
        "sqlmig apply 002",
    ]
    assert is_inside(passes[0], rehearsal)
    assert told(rehearsal, "version.from", "version.to", "outcome", "rehearsal") == [1, 2, "succeeded", None]
    assert all(told(span, "rehearsal") == [True] for span in passes)
    migrator.migrate()
    spans()
    migrator.restore(snapshot)
    (restore,) = spans()
    assert (restore.name, told(restore, "version.to")) == ("sqlmig restore", [1])
    folder.add(2, "raise ValueError('no')", name="002_step_2.py")
    assert not migrator.rehearse()
    assert spans()[0].status.status_code is trace.StatusCode.ERROR


def test_revisions_of_alembic_are_told_by_name(spans: Spans, engine: Engine, tmp_path: Path) -> None:
    versions = tmp_path / "alembic" / "versions"
    versions.mkdir(parents=True)
    (versions / "ab12_a.py").write_text(
        "from alembic import op\nrevision = 'ab12'\ndown_revision = None\n"
        "def upgrade(): op.execute('CREATE TABLE a (x)')\ndef downgrade(): op.drop_table('a')\n"
    )
    AlembicMigrator(engine, tmp_path / "alembic", env=False).migrate()
    run, only = spans()
    assert told(only, "migration.version", "migration.revision") == [1, "ab12"]
    assert is_inside(only, run)


# Whose spans they are


@pytest.mark.parametrize("kind", KINDS)
def test_awaited_they_are_inside_the_span_of_the_task(spans: Spans, kind: str, tmp_path: Path, folder: Folder) -> None:
    folder.add(1, "self.execute_sql('CREATE TABLE seen (span TEXT)')")
    folder.add(
        2,
        """from opentelemetry import trace
span = trace.get_current_span().get_span_context().span_id
self.execute_sql("INSERT INTO seen VALUES (?)", (str(span),))""",
    )

    async def scenario(engine: AsyncEngine) -> int:
        with trace.get_tracer("application").start_as_current_span("boot") as boot:
            await Migrator(engine, folder.path).migrate_async()
            # What was the current span is so again.
            assert trace.get_current_span() is boot
        async with engine.connect() as connection:
            return int((await connection.exec_driver_sql("SELECT span FROM seen")).scalar_one())

    with place_of(kind, tmp_path, folder) as spot:
        seen = spot.run(scenario)
    boot, run, first, second = spans()
    assert names([boot, run, first, second]) == ["boot", "sqlmig migrate", "sqlmig apply 001", "sqlmig apply 002"]
    assert is_inside(run, boot)
    assert second.context.span_id == seen


def test_threads_have_their_own(spans: Spans, folder: Folder, tmp_path: Path) -> None:
    for version in range(1, 6):
        folder.table(version)
    together = threading.Barrier(3)

    def boot(name: str) -> None:
        together.wait()
        with trace.get_tracer("application").start_as_current_span(name):
            Migrator(str(tmp_path / name), folder.path).migrate()

    threads = [threading.Thread(target=boot, args=(f"{n}.db",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = spans()
    for name in ("0.db", "1.db", "2.db"):
        (boot_span,) = (span for span in found if span.name == name)
        (run,) = (span for span in found if span.name == "sqlmig migrate" and is_inside(span, boot_span))
        assert told(run, "migrations") == [5]
        mine = [span for span in found if is_inside(span, run)]
        assert names(mine) == [f"sqlmig apply {version:03}" for version in range(1, 6)]
        assert all(str(dict(span.attributes or {})["db.namespace"]).endswith(name) for span in mine)


# What it costs, and what it may not do


def test_a_boot_at_head_tells_nothing_and_reads_once(spans: Spans, engine: Engine, folder: Folder) -> None:
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    spans()
    statements: list[str] = []
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        raw.set_trace_callback(statements.append)
    migrator = Migrator(engine, folder.path)
    assert not migrator.migrate().applied
    assert len([text for text in statements if not text.startswith("--")]) == 1
    assert not migrator.migrate_to_version(1).applied
    assert spans() == []


def test_nothing_is_imported_for_it(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    code = """
import sys
from sqlmig import Migrator
Migrator(*sys.argv[1:]).migrate()
print([name for name in sys.modules if name.startswith("opentelemetry")])
before = set(sys.modules)
Migrator(*sys.argv[1:]).migrate()
print(set(sys.modules) - before)
"""
    given = [str(tmp_path / "new.db"), str(folder.path)]
    ran = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\nset()\n"
    head = "import sys\nfrom sqlmig import Migrator\nMigrator(*sys.argv[1:]).migrate()\n"
    head += "print([name for name in sys.modules if 'telemetry' in name])"
    ran = subprocess.run([sys.executable, "-c", head, *given], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("absent", [True, False])
def test_without_the_api_or_a_provider_it_migrates_all_the_same(folder: Folder, tmp_path: Path, absent: bool) -> None:
    folder.table(1)
    code = "import os, sys\n"
    code += (
        "sys.modules['opentelemetry'] = None\nos.environ['OTEL_PYTHON_TRACER_PROVIDER'] = 'sdk_tracer_provider'\n"
        if absent
        else "import opentelemetry.trace\n"
    )
    code += "from sqlmig import Migrator\nprint(Migrator(*sys.argv[1:]).migrate().applied)"
    given = [str(tmp_path / "new.db"), str(folder.path)]
    ran = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("[1]\n", "")


def test_a_provider_that_the_environment_names_is_told(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    code = """
import os, sys
from sqlmig import Migrator
os.environ["OTEL_PYTHON_TRACER_PROVIDER"] = "sdk_tracer_provider"
seen = []
from sqlmig import telemetry
trace = telemetry._api()
from opentelemetry.sdk.trace import SpanProcessor
class Seen(SpanProcessor):
    def on_end(self, span): seen.append(span.name)
trace.get_tracer_provider().add_span_processor(Seen())
Migrator(*sys.argv[1:]).migrate()
print(seen)
"""
    given = [str(tmp_path / "new.db"), str(folder.path)]
    ran = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    assert ran.stdout == "['sqlmig apply 001', 'sqlmig migrate']\n"


def test_an_installation_that_is_broken_stops_nothing(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    package = tmp_path / "site" / "opentelemetry" / "trace"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('half of it is missing')")
    (package.parent / "__init__.py").touch()
    code = "import sys\nfrom sqlmig import Migrator\nprint(Migrator(*sys.argv[1:]).migrate().applied)"
    given = [str(tmp_path / "new.db"), str(folder.path)]
    paths = {"PYTHONPATH": str(tmp_path / "site"), "OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider"}
    ran = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, check=True, env=os.environ | paths
    )
    assert ran.stdout == "[1]\n"


@pytest.mark.parametrize("method", ["on_start", "on_end"])
def test_a_span_processor_that_fails_undoes_nothing(
    provider: TracerProvider, migrator: Migrator, folder: Folder, method: str
) -> None:
    class Broken(SpanProcessor):
        pass

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the collector is on fire")

    setattr(Broken, method, fail)
    provider.add_span_processor(Broken())
    for version in (1, 2):
        folder.table(version)
    assert migrator.migrate().applied == [1, 2]
    folder.add(3, "raise ValueError('no')")
    with pytest.raises(MigrationFailed, match="ValueError: no"):
        migrator.migrate()
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_cancelled_task_ends_its_spans(spans: Spans, folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    folder.add(
        2,
        "self.execute_sql('WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n')",
    )
    began = threading.Event()

    async def scenario() -> None:
        tell = lambda done, total, message: began.set() if done == 1 else None  # noqa: E731
        migrator = Migrator(f"sqlite:///{tmp_path / 'app.db'}", folder.path, progress=tell)
        task = asyncio.ensure_future(migrator.migrate_async())
        await asyncio.to_thread(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    run, first, *rest = spans()
    assert told(first, "outcome") == ["applied"]
    assert run.status.status_code is trace.StatusCode.ERROR
    assert all(told(span, "outcome") == ["failed"] for span in rest)


@pytest.fixture(autouse=True)
def _no_span_stays_open() -> Iterator[None]:
    yield
    assert not trace.get_current_span().get_span_context().is_valid
