"""env.py, run the way Alembic runs it, with our connection where it would make its own."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from alembic.runtime.migration import HeadMaintainer, MigrationContext, RevisionStep

from sqlmig import DatabaseLocked, MigrationError
from sqlmig.execution import TryAgain

from .env_file import execute_file
from .errors import EnvironmentFailed, OverlappingHeads
from .handed import Handover, routed
from .project import HandedContext, Project
from .rebuild import keep_child_rows

if TYPE_CHECKING:
    from alembic.script import Script

    from .history import History

T = TypeVar("T")

__all__ = ["Environment"]

# Alembic's `op` and `context` are the process's.
_turn = threading.RLock()


class Environment:
    """
    How the revisions of a project are run.

    Args:
        project: Whose env.py.
        options: What `context.configure()` is given where env.py is not run, or says nothing of it.
        arguments: What `upgrade()` is given where env.py is not run.
    """

    def __init__(
        self,
        project: Project,
        *,
        options: Mapping[str, Any],
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.project = project
        self.options, self.arguments = dict(options), dict(arguments or {})
        self.said: dict[str, Any] | None = None
        self.history: Callable[[], History] | None = None
        self.settled = 0
        self.handover: Handover | None = None
        self._context: MigrationContext | None = None

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Meanwhile, take the files as they were when it began: looking at them costs more than most questions."""
        self.settled += 1
        try:
            yield
        finally:
            self.settled -= 1

    @contextmanager
    def turn(self, timeout: float, name: str) -> Iterator[None]:
        """Keep other threads out: a process has one `alembic.op`."""
        if not _turn.acquire(timeout=min(timeout, threading.TIMEOUT_MAX)):
            raise DatabaseLocked(name, timeout, "another thread runs Alembic revisions in this process")
        try:
            yield
        finally:
            _turn.release()

    def run(self, handover: Handover, action: Callable[[], T], destination: str = "heads") -> T:
        """
        The result of *action*, called where env.py calls `run_migrations()`.

        Raises:
            EnvironmentFailed: env.py raised by itself, or never came so far.
        """
        outcome = _Outcome(action)
        outer = _proxies()
        before = self.project.config.attributes.get("connection", _MISSING)
        logging_before = _Logging()
        self.handover = handover
        try:
            with routed(handover):
                connection = handover.connection()
                self.project.config.attributes["connection"] = connection
                try:
                    context = _Context(self, outcome, destination)
                    with context:
                        self._execute(context, connection)
                finally:
                    connection.close()
        except TryAgain:
            raise
        except BaseException as error:
            if outcome.error is None:
                raise self._failed(error) from error
        finally:
            self._restore(before, outer)
            logging_before.restore()
        if outcome.error is not None:
            raise outcome.error
        if not outcome.ran and (names := self.project.databases):
            raise EnvironmentFailed(
                self.project.env_py,
                f"none of its databases ({names}) is {handover.engine.url}",
                "Pass the engine of one of them; each has an AlembicMigrator of its own.",
            )
        if not outcome.ran:
            what = "context.run_migrations()" if self.said is not None else "context.configure()"
            raise EnvironmentFailed(
                self.project.env_py, f"it never called {what}", "Have it call what Alembic's own templates call."
            )
        value: T = outcome.value
        return value

    def _execute(self, context: _Context, connection: Any) -> None:
        if self.project.runs_env:
            assert self.handover is not None
            execute_file(self.project, self.handover)
            return
        context.configure(connection=connection, **self.options)
        context.run_migrations(**self.arguments)

    def _failed(self, error: BaseException) -> BaseException:
        if isinstance(error, MigrationError) or not isinstance(error, Exception | SystemExit):
            return error
        if isinstance(error, FileNotFoundError) and not os.path.exists(self.project.env_py):
            return EnvironmentFailed(self.project.env_py, "there is no such file")
        if isinstance(error, AssertionError) and self.said is None:
            return EnvironmentFailed(self.project.env_py, "it called run_migrations() before context.configure()")
        text = f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"{error}"
        return EnvironmentFailed(self.project.env_py, f"{type(error).__name__}: {text}")

    def _restore(self, before: Any, outer: Sequence[Any]) -> None:
        self.handover = self._context = None
        if before is _MISSING:
            self.project.config.attributes.pop("connection", None)
        else:
            self.project.config.attributes["connection"] = before
        for now, then in zip(_proxies(), outer, strict=True):
            if now is not then:
                # Alembic leaves its own behind where a revision fails.
                now._remove_proxy() if then is None else then._install_proxy()

    def configured(self, context: MigrationContext, said: dict[str, Any]) -> None:
        """env.py has called `configure()`."""
        keep_child_rows(context, self._turn_off_foreign_keys)
        self._context, self.said = context, said

    def _turn_off_foreign_keys(self) -> None:
        if self.handover is not None and self.handover.inside:
            self.handover.on_foreign_keys_off(False)

    def carry_out(self, script: Script, *, up: bool) -> None:
        """Run one revision, and move Alembic's heads, where a transaction of ours is open."""
        context, handover = self._context, self.handover
        assert context is not None
        assert handover is not None
        if context.connection is None or context.connection.closed or context.connection.invalidated:
            options = context.connection.get_execution_options() if context.connection is not None else {}
            context.connection = context.impl.connection = handover.connection().execution_options(**options)
        step = RevisionStep(self.project.directory.revision_map, script, up)
        with context.begin_transaction(_per_migration=True):
            step.migration_fn(**self.arguments)
        # The script may have ended that transaction, and begun another.
        _commit(context)
        handover.end_others()
        handover.come_back()
        handover.refuse_orphans()
        heads = context.get_current_heads()
        if not heads:
            context._ensure_version_table()
        maintainer = HeadMaintainer(context, heads)
        try:
            maintainer.update_to_step(step)
            lost = len(maintainer.heads) > 1 and not self._are_heads(maintainer.heads)
        except (KeyError, AssertionError):
            lost = True
        if lost:
            # Alembic loses its way where a parent is below a dependency of the same revision.
            self._write_heads(context, maintainer, heads, script, up=up)
        for callback in context.on_version_apply_callbacks:
            callback(ctx=context, step=step.info, heads=set(maintainer.heads), run_args=self.arguments)
        _commit(context)

    def _are_heads(self, names: Iterable[str]) -> bool:
        """Whether none of *names* is below another."""
        assert self.history is not None
        try:
            self.history().closure(names)
        except OverlappingHeads:
            return False
        return True

    def _write_heads(
        self, context: MigrationContext, maintainer: HeadMaintainer, heads: Sequence[str], script: Script, *, up: bool
    ) -> None:
        assert self.history is not None
        assert context.connection is not None
        history, version = self.history(), self.history().version_of[script.revision]
        done = history.closure(heads) | {version} if up else history.closure(heads) - {version}
        maintainer.heads = set(history.heads_of(done))
        context.connection.execute(context._version.delete())
        for head in sorted(maintainer.heads):
            context.connection.execute(context._version.insert().values(version_num=head))


def _commit(context: MigrationContext) -> None:
    """End what is open on the connection: for SQLite a savepoint of ours."""
    connection = context.connection
    assert connection is not None
    if not context._in_external_transaction:
        context._transaction = None
        transaction = connection.get_transaction()
        if transaction is not None:
            connection.commit() if transaction.is_active else connection.rollback()
    raw: Any = connection.connection.dbapi_connection
    raw.commit()


class _Logging:
    """The application's logging: fileConfig() of an env.py silences loggers, and takes the root's handlers."""

    def __init__(self) -> None:
        self._disabled = {name: one.disabled for name, one in _loggers()}
        self._handlers, self._level = list(logging.root.handlers), logging.root.level

    def restore(self) -> None:
        """Have it as it was; where nothing was set up, what env.py did stays."""
        for name, one in _loggers():
            one.disabled = self._disabled.get(name, one.disabled)
        if self._handlers:
            logging.root.handlers[:] = self._handlers
            logging.root.setLevel(self._level)


class _Outcome:
    """What came of the one call that is made where env.py runs migrations."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        self.ran = False
        self.value: Any = None
        self.error: BaseException | None = None

    def __call__(self) -> None:
        if self.ran:
            return
        self.ran = True
        try:
            self.value = self._action()
        except BaseException as error:
            # env.py may catch it, or fail by its consequences.
            self.error = error
            raise


class _Context(HandedContext):
    def __init__(self, environment: Environment, outcome: _Outcome, destination: str) -> None:
        self._environment, self._outcome = environment, outcome
        super().__init__(
            environment.project.config,
            environment.project.directory,
            fn=lambda heads, context: [],
            as_sql=False,
            destination_rev=destination,
        )

    def configure(self, connection: Any = None, *positional: Any, **said: Any) -> None:
        environment, handover = self._environment, self._environment.handover
        assert handover is not None
        if connection is None or getattr(connection.connection.dbapi_connection, "run", None) is not handover:
            if connection is not None and environment.project.databases:
                # The turn of another database.
                super().configure(connection, *positional, **said)
                self.get_context().__class__ = _AnothersContext
                return
            connection = environment.project.config.attributes["connection"]
        for option in ("url", "dialect_name", "dialect"):
            said.pop(option, None)
        said = {**environment.options, **{key: value for key, value in said.items() if value is not None}}
        super().configure(connection=connection, **said)
        context = self.get_context()
        context.__class__ = _RunContext
        environment.configured(context, said)

    def run_migrations(self, **arguments: Any) -> None:
        if isinstance(self.get_context(), _RunContext):
            self._environment.arguments = arguments
        super().run_migrations(**arguments)


class _RunContext(MigrationContext):
    """Runs what sqlmig has planned, and commits nothing by itself."""

    environment_context: _Context

    def run_migrations(self, **arguments: Any) -> None:
        self.impl.start_migrations()
        self.environment_context._outcome()

    @contextmanager
    def autocommit_block(self) -> Iterator[None]:
        """Run statements for themselves; what came before is committed, and the migration marked as started."""
        handover = self.environment_context._environment.handover
        assert handover is not None
        assert self.connection is not None
        handover.leave("autocommit_block()")
        raw: Any = self.connection.connection.dbapi_connection
        raw.commit()
        implicit, raw.implicit = raw.implicit, False
        try:
            yield
        finally:
            raw.implicit = implicit


class _AnothersContext(MigrationContext):
    """Of a database that is not the one to be migrated, in an env.py for several: it gets nothing."""

    def begin_transaction(self, _per_migration: bool = False) -> Any:
        return nullcontext()

    def run_migrations(self, **arguments: Any) -> None:
        pass


_MISSING: Any = object()


def _loggers() -> Sequence[tuple[str, logging.Logger]]:
    known = logging.root.manager.loggerDict
    return [(name, one) for name, one in list(known.items()) if isinstance(one, logging.Logger)]


def _proxies() -> Sequence[Any]:
    """What `alembic.context` and `alembic.op` stand for at the moment."""
    import alembic.context
    import alembic.op

    return [vars(module).get("_proxy") for module in (alembic.context, alembic.op)]
