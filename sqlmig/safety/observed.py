"""A run that is looked at: what each migration did to the rows and to the schema."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..run import Run

if TYPE_CHECKING:
    from ..backends.session import Session
    from ..base import BaseMigration
    from ..guard import Account
    from ..loader import LoadedMigration
    from .differences import Schema
    from .disk import DiskWatch
    from .original import Copy

__all__ = ["ObservedRun", "Observer", "Sight"]


@dataclass
class Sight:
    """What was seen of one migration; its schema is that after it."""

    outcome: str
    description: str
    took: float
    rows: int
    schema: Schema


@dataclass
class Observer:
    """
    What was seen in one pass over the migrations, in their order.

    Attributes:
        copy: What they run on; None where nothing is run.
        ignored: Tables that are records of migrations.
        disk: What is told how large the files will be.
    """

    copy: Copy | None
    ignored: Collection[str]
    disk: DiskWatch | None = None
    before: Schema | None = None
    seen: dict[int, Sight] = field(default_factory=dict)
    session: Session | None = None
    rows: int = 0

    def open(self, session: Session) -> None:
        """The session that everything happens on."""
        self.session = session
        if self.before is None:
            self.before = self.schema()

    def schema(self) -> Schema:
        """The schema as it is now."""
        assert self.session is not None
        assert self.copy is not None
        return self.copy.schema(self.session, self.ignored)

    def watch(self, instance: BaseMigration) -> None:
        """Count the rows that the migration's own methods change, and no records of them."""
        assert self.session is not None
        assert self.copy is not None
        session, copy, self.rows = self.session, self.copy, 0

        @contextmanager
        def counted() -> Iterator[None]:
            with copy.counting(session) as rows:
                yield
                self.rows = rows()

        instance._accompany(counted)

    def end(self, outcome: str, version: int, description: str, took: float) -> None:
        """A migration is done, and its transaction still open."""
        assert self.session is not None
        self.seen.pop(version, None)
        self.seen[version] = Sight(outcome, description, round(took, 3), self.rows, self.schema())
        self.rows = 0
        if self.disk is not None and self.copy is not None:
            self.disk.look(self.copy.size_in(self.session))


class ObservedRun(Run):
    """A run with somebody who looks."""

    rehearses = True

    def __init__(self, observer: Observer, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._observer = observer

    @contextmanager
    def recording(self, session: Session) -> Iterator[None]:
        """The same; it begins before anything else does."""
        self._observer.open(session)
        with super().recording(session):
            yield

    def start(self, migration: LoadedMigration, session: Session) -> BaseMigration:
        """The migration on the session's connection."""
        instance = super().start(migration, session)
        self._observer.watch(instance)
        return instance

    def note(self, outcome: str, version: int, description: str, took: float, account: Account | None = None) -> None:
        """A step is done."""
        super().note(outcome, version, description, took, account)
        self._observer.end(outcome, version, description, took)
