"""
Spans of OpenTelemetry: one for each run that has something to do, and inside it one for each migration.

Nothing is imported for that. An application that has set a tracer provider has imported the API; where nobody has,
nobody looks, and all of this does nothing. Names are those of the semantic conventions for databases, and `sqlmig.*`.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol

from sqlalchemy import event

from .errors import MigrationError
from .execution import reason

if TYPE_CHECKING:
    from .backends.backend import Backend
    from .backends.session import Session
    from .base import BaseMigration
    from .loader import LoadedMigration
    from .results import MigrationResult
    from .version_tracker import VersionTracker

__all__ = ["Trace", "trace_of", "traced"]

P = ParamSpec("P")


class Tell(Protocol):
    """Told of the end of what is traced."""

    def __call__(self, error: BaseException | None = None, **facts: Any) -> None: ...


_RUNS = {"apply": "migrate", "rollback": "rollback"}
_FROM_ENVIRONMENT = "OTEL_PYTHON_TRACER_PROVIDER"
_TARGET = re.compile(
    r"""\s*(?:(?:insert|replace)\b.*?\binto|delete\s+from|update)\s+(?:(?:"[^"]*"|`[^`]*`|\w+)\.)?["`]?(\w+)""",
    re.IGNORECASE | re.DOTALL,
)
_WRITES = re.compile(r"\s*(?:insert|update|delete|replace|merge)\b", re.IGNORECASE)

logger = logging.getLogger("sqlmig.telemetry")


class Trace:
    """Who is told of one run; this one is nobody."""

    def around(self) -> AbstractContextManager[None]:
        """The run happens inside."""
        return nullcontext()

    def refusing(self) -> AbstractContextManager[None]:
        """The run is refused inside, or there is nothing to tell."""
        return nullcontext()

    def started(self, migration: LoadedMigration, session: Session, instance: BaseMigration) -> None:
        """A migration begins; or the same one goes on, or begins anew."""

    def noted(self, outcome: str) -> None:
        """It is done, and will count when it is committed."""

    def committed(self) -> None:
        """What was noted counts."""

    def undone(self) -> None:
        """What was noted does not count."""

    def failed(self, error: BaseException, cause: BaseException) -> None:
        """The migration that runs has failed, or the commit of those that were noted; *error* is raised for *cause*."""

    def reached(self, result: MigrationResult) -> None:
        """What the run has done so far."""


_NOBODY = Trace()


def trace_of(operation: str, tracker: VersionTracker, *, rehearses: bool = False) -> Trace:
    """
    Who is to be told of a run.

    Args:
        operation: As in the history.
        rehearses: Whether it is one on a copy.
    """
    api = _api() if operation in _RUNS else None
    return _NOBODY if api is None else _Spans(api, operation, tracker, rehearses=rehearses)


@contextmanager
def traced(operation: str, backend: Backend) -> Iterator[Tell]:
    """
    Have what happens inside in a span of its own, where somebody looks.

    Yields:
        What is to be told of its end: an error that was found and not raised, and facts, as `version_to=3`.
    """
    api = _api()
    if api is None:
        yield lambda error=None, **facts: None
        return
    with _span(api, operation, _about(backend, operation), time.time_ns()) as span:

        def tell(error: BaseException | None = None, **facts: Any) -> None:
            span.set_attributes({f"sqlmig.{name.replace('_', '.')}": value for name, value in facts.items()})
            if error is not None:
                _fail(span, error)

        yield tell


def _api() -> Any:
    """`opentelemetry.trace`, where the application has imported it; None where nobody can have set a provider."""
    if sys.modules.get("opentelemetry.trace") is None and not os.environ.get(_FROM_ENVIRONMENT):
        return None
    # Another thread may be about to import it: this waits for all of it.
    with _quietly(), suppress(ImportError):
        return importlib.import_module("opentelemetry.trace")
    return None


def _harmless(method: Callable[Concatenate[_Spans, P], None]) -> Callable[Concatenate[_Spans, P], None]:
    """Have nothing of what a method raises come out of it."""

    @wraps(method)
    def call(self: _Spans, /, *args: P.args, **options: P.kwargs) -> None:
        with _quietly():
            method(self, *args, **options)

    return call


class _Child:
    """The span of one migration, which is the current one until the migration is done."""

    def __init__(self, api: Any, name: str, version: int, attributes: dict[str, Any]) -> None:
        self.version, self.outcome = version, ""
        self.rows: Callable[[], int | None] = lambda: None
        self.span = _tracer(api).start_span(name, attributes=attributes)
        self._current = ExitStack()
        self._current.enter_context(api.use_span(self.span, record_exception=False, set_status_on_exception=False))
        self._ended_at: int | None = None

    def stop(self, outcome: str) -> None:
        """It is done; how it ends is told by the commit."""
        self.outcome, self._ended_at = outcome, time.time_ns()
        self._current.close()

    def end(self, outcome: str, error: BaseException | None = None, cause: BaseException | None = None) -> None:
        if self._ended_at is None:
            self.stop(outcome)
        self.span.set_attributes(_known({"sqlmig.outcome": outcome, "sqlmig.rows": self.rows()}))
        if error is not None:
            _fail(self.span, error, cause)
        self.span.end(end_time=self._ended_at)


class _Spans(Trace):
    """Tells OpenTelemetry."""

    def __init__(self, api: Any, operation: str, tracker: VersionTracker, *, rehearses: bool) -> None:
        self._api, self._step, self._name = api, operation, _RUNS[operation]
        self._backend, self._own = tracker.backend, tuple(tracker.own_tables)
        self._rehearsal: dict[str, Any] = {"sqlmig.rehearsal": True} if rehearses else {}
        self._began = time.time_ns()
        self._run: Any = None
        self._open: _Child | None = None
        self._noted: list[_Child] = []
        self._undone: list[_Child] = []
        self._told = False

    @contextmanager
    def around(self) -> Iterator[None]:
        """A span from the moment when this was made."""
        attributes = _about(self._backend, self._name) | self._rehearsal
        with _span(self._api, self._name, attributes, self._began, recorded=lambda: self._told) as self._run:
            try:
                yield
            finally:
                self._settle()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """A span for a refusal alone: whether there is something to do is not known yet."""
        try:
            yield
        except BaseException as error:
            self._refused(error)
            raise

    @_harmless
    def _refused(self, error: BaseException) -> None:
        attributes = _about(self._backend, self._name) | self._rehearsal
        span = _tracer(self._api).start_span(f"sqlmig {self._name}", attributes=attributes, start_time=self._began)
        _fail(span, error)
        span.end()

    @_harmless
    def started(self, migration: LoadedMigration, session: Session, instance: BaseMigration) -> None:
        if self._open is not None and self._open.version != migration.version:
            # It is undone, and another is first now.
            self._undone.append(self._open)
            self._open = None
        if self._open is None:
            self._settle()
            name = f"sqlmig {self._step} {migration.version:03}"
            direction = {"sqlmig.direction": "up" if self._step == "apply" else "down"}
            about = _about(self._backend, self._step) | self._rehearsal | direction
            attributes = about | _about_migration(migration)
            self._open = _Child(self._api, name, migration.version, attributes)
        # A resumable one writes its checkpoints between its own rows, by the driver's cursor.
        if self._open.span.is_recording() and not migration.resumable:
            self._open.rows = _counted(session, instance, self._own)

    @_harmless
    def noted(self, outcome: str) -> None:
        # What had been skipped has nothing to take back, and never started.
        if self._open is not None:
            self._open.stop(outcome)
            self._noted.append(self._open)
            self._open = None

    @_harmless
    def committed(self) -> None:
        for child in self._noted:
            child.end(child.outcome)
        self._noted.clear()

    @_harmless
    def undone(self) -> None:
        self._undone += self._noted
        self._noted.clear()

    @_harmless
    def failed(self, error: BaseException, cause: BaseException) -> None:
        # Where none is at work it was their commit, and the last one stands for all.
        child = self._open or (self._undone.pop() if self._undone else None)
        self._open = None
        if child is not None:
            child.end("failed", error, cause)
            self._told = True
        self._settle()

    @_harmless
    def reached(self, result: MigrationResult) -> None:
        if self._run is not None:
            self._run.set_attributes(_told(result))

    @_harmless
    def _settle(self) -> None:
        """End what is undone."""
        left = [*self._undone, *([self._open] if self._open is not None else [])]
        self._undone, self._open = [], None
        for child in left:
            child.end("undone")


@contextmanager
def _span(
    api: Any, name: str, attributes: dict[str, Any], began: int, recorded: Callable[[], bool] = lambda: False
) -> Iterator[Any]:
    """
    The current span meanwhile.

    Args:
        recorded: Whether the exception that ends it is in a span inside it already.
    """
    span: Any = api.INVALID_SPAN
    with _quietly():
        span = _tracer(api).start_span(f"sqlmig {name}", attributes=attributes, start_time=began)
    with api.use_span(span, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except BaseException as error:
            with _quietly():
                _fail(span, error, event=not recorded())
            raise
        finally:
            with _quietly():
                span.end()


@contextmanager
def _quietly() -> Iterator[None]:
    """What a span processor raises must not undo a migration."""
    try:
        yield
    except Exception:
        logger.warning("OpenTelemetry failed", exc_info=True)


def _tracer(api: Any) -> Any:
    from . import __version__

    return api.get_tracer("sqlmig", __version__)


def _about(backend: Backend, operation: str) -> dict[str, Any]:
    """What is known of a database without asking it."""
    url, dialect = backend.engine.url, backend.engine.dialect
    found = {
        "db.system.name": "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name,
        "db.namespace": backend.file or url.database or (":memory:" if dialect.name == "sqlite" else None),
        "server.address": url.host,
        "server.port": url.port,
        "sqlmig.operation": operation,
    }
    return _known(found)


def _about_migration(migration: LoadedMigration) -> dict[str, Any]:
    return _known(
        {
            "sqlmig.migration.version": migration.version,
            "sqlmig.migration.description": migration.description,
            "sqlmig.migration.revision": getattr(migration, "revision", None),
        }
    )


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    """OpenTelemetry warns of a None."""
    return {name: value for name, value in attributes.items() if value is not None}


def _told(result: MigrationResult) -> dict[str, Any]:
    done = [*result.applied, *result.skipped, *result.rolled_back]
    return {
        "sqlmig.outcome": "succeeded" if result.success else "failed",
        "sqlmig.direction": result.direction,
        "sqlmig.version.from": result.from_version,
        "sqlmig.version.to": result.to_version,
        "sqlmig.migrations": len(done),
    }


def _fail(span: Any, error: BaseException, cause: BaseException | None = None, *, event: bool = True) -> None:
    """The error on the span: in one line, and whole with its stack where no other span has it."""
    from opentelemetry.trace import Status, StatusCode

    kind, text = _kind(error), _message(error)
    span.set_attributes({"error.type": kind, "sqlmig.outcome": "failed"})
    span.set_status(Status(StatusCode.ERROR, text.partition("\n")[0]))
    if event:
        facts = {"exception.type": kind, "exception.message": text, "exception.stacktrace": _stack(error, cause)}
        span.add_event("exception", facts)


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, MigrationError) else reason(error)


def _stack(error: BaseException, cause: BaseException | None) -> str:
    """As Python prints it, but for what SQLAlchemy says: that quotes parameters, which may be somebody's data."""
    parts: list[str] = []
    here: BaseException | None = error
    while here is not None:
        lines = traceback.format_tb(here.__traceback__)
        said = f"{_kind(here)}: {here}" if isinstance(here, MigrationError) else reason(here)
        parts.append("".join(["Traceback (most recent call last):\n", *lines, f"{said}\n"]))
        before, cause = cause, None
        if before is None or before is here:
            before = here.__cause__ or (None if here.__suppress_context__ else here.__context__)
        here = before
    return "\nwhich led to:\n\n".join(reversed(parts))


def _kind(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _counted(session: Session, instance: BaseMigration, own: Collection[str]) -> Callable[[], int]:
    """
    Tell how many rows the migration's own methods changed, and no records of them.

    SQLite counts those that triggers and keys changed as well; elsewhere each statement says what it changed.

    Args:
        own: The tables of the records.
    """
    counted, run = _Rows(session, own), instance._run_by_sqlmig

    @contextmanager
    def counting() -> Iterator[None]:
        with counted.meanwhile(), run():
            yield

    instance.__dict__["_run_by_sqlmig"] = counting
    return lambda: counted.total


class _Rows:
    """Rows that are inserted, updated and deleted on one connection."""

    def __init__(self, session: Session, own: Collection[str]) -> None:
        self._session, self._own = session, own
        self._in_sqlite = session.connection.dialect.name == "sqlite"
        self.total = 0

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Count them."""
        connection, before = self._session.connection, self._changes()
        event.listen(connection, "after_cursor_execute", self._after)
        try:
            yield
        finally:
            event.remove(connection, "after_cursor_execute", self._after)
            self.total += self._changes() - before

    def _changes(self) -> int:
        return int(self._session.raw.total_changes) if self._in_sqlite else 0

    def _after(self, _: object, cursor: Any, statement: str, *__: object) -> None:
        if cursor.rowcount <= 0 or not _WRITES.match(statement):
            return
        target = _TARGET.match(statement)
        if target is not None and target[1].lower() in self._own:
            self.total -= cursor.rowcount if self._in_sqlite else 0
        elif not self._in_sqlite:
            self.total += cursor.rowcount
