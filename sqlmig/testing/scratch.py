"""A private database as the passes of a rehearsal want one: it is thrown away, so that nothing of it is a copy's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..run import Teller
from ..safety.judging import report
from ..safety.original import Copy
from ..safety.passes import Steps
from ..safety.soundness import new_problems, problems

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from ..backends.session import Session
    from ..errors import MigrationError
    from ..migrator import Migrator
    from ..safety.differences import Schema
    from ..safety.postgresql.schema_text import SchemaReader
    from ..safety.report import Rehearsal

__all__ = ["there_and_back"]


def there_and_back(migrator: Migrator, version: int) -> tuple[Rehearsal, list[MigrationError]]:
    """Migrate a database that is thrown away to *version*, back, and there again; what came of it, and the errors."""
    scratch = _Scratch(migrator.db.engine)
    before = scratch.problems(thorough=True, tables=())
    passes = Steps(migrator, scratch, version, None, Teller(None), thorough=True).run()
    found = new_problems(passes.problems, lambda: before) if passes.problems is not None else []
    errors = [
        one.error for one in (passes.there, passes.back, passes.again) if one is not None and one.error is not None
    ]
    return report(passes, size=0, integrity=found, error=None, warnings=(), took=0.0), errors


class _Scratch(Copy):
    """What a rehearsal counts and measures beside the schema, nobody asks for here."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, [], [])
        self._dialect = engine.dialect.name
        self._read_schema: SchemaReader | None = None

    def schema(self, session: Session, ignored: Collection[str]) -> Schema:
        """As its catalogue words it."""
        if self._dialect == "sqlite":
            from ..safety.schema_text import SQLiteSchema

            return SQLiteSchema.read(session.raw, ignored)
        if self._dialect != "postgresql":
            from .mysql_schema import MySQLSchema

            return MySQLSchema.read(session.raw, ignored)
        from ..safety.postgresql.schema_text import SchemaReader

        self._read_schema = self._read_schema or SchemaReader()
        return self._read_schema(session, ignored)

    @contextmanager
    def counting(self, session: Session) -> Iterator[Callable[[], int]]:
        """None."""
        yield lambda: 0

    def size_in(self, session: Session) -> int:
        """None."""
        return 0

    def size(self) -> int:
        """None."""
        return 0

    def problems(self, *, thorough: bool, tables: Collection[tuple[str, str]]) -> Counter[str]:
        """Damage, invalid indexes, rows without their parents; on SQLite, views and triggers that do not compile."""
        pooled = self.engine.raw_connection()
        try:
            raw: Any = pooled.dbapi_connection
            if self._dialect == "sqlite":
                return problems(raw, thorough=thorough, tables=tables) + self._broken()
            if self._dialect == "postgresql":
                from ..safety.postgresql.copy import problems_of

                return problems_of(raw, thorough=thorough)
            return Counter()
        finally:
            pooled.close()

    def _broken(self) -> Counter[str]:
        """SQLite takes a view or a trigger without a look at what it names."""
        from ..schema.sqlite.catalogue import Catalogue
        from ..schema.sqlite.programs import broken, is_unknowable

        with self.engine.connect() as connection:
            found = broken(Catalogue(connection))
        return Counter(f"{what}: {said}" for what, said in found.items() if not is_unknowable(said))
