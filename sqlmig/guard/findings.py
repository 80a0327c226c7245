"""What a migration has lost, when it is done and before it commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results import Loss
from ..schema.sqlite.definition import folded
from .census import TableId
from .heirs import expected_rows

if TYPE_CHECKING:
    from .census import Census
    from .ledger import Dropped, Ledger, Made, Touched

__all__ = ["Findings"]


class Findings:
    """
    The account of one migration.

    Attributes:
        losses: What is gone.
        removed: Every table and column that is gone or was in danger, whether or not it held anything; folded.
        created: The tables and columns that are there and were not.
    """

    def __init__(self, census: Census, ledger: Ledger, *, counting: bool) -> None:
        self._census, self._ledger = census, ledger
        self.losses: list[Loss] = []
        self.removed: set[str] = set()
        self.created: list[str] = []
        for touched in ledger.all if counting else ():
            if touched.now is not None:
                self._of_living(touched, touched.now)
            elif touched.dropped is not None:
                self._of_dropped(touched, touched.dropped)
        if counting and not census.enforces_references:
            self._of_references()
        self._list_created()

    def _lose(self, kind: str, name: str, count: int) -> None:
        self.removed.add(folded(name))
        if count > 0:
            self.losses.append(Loss(kind=kind, name=name, count=count))

    # Tables that are still there

    def _of_living(self, touched: Touched, now: TableId) -> None:
        table = str(touched.origin)
        if touched.rows is not None or touched.replacing is not None:
            self._lose("rows", table, self._rows_lost(touched, now))
        columns = {folded(column.name) for column in self._census.columns(now)}
        for name, count in touched.doomed:
            self._of_doomed(touched, now, columns, name, count)
        for column, (filled, nulls) in touched.filled.items():
            if column in columns and column not in touched.set_itself:
                lost = self._became_null(touched, now, column, filled, nulls)
                self._lose("nulls", f"{table}.{touched.renamed.get(column, column)}", lost)
        for column in touched.set_itself:
            self.removed.add(folded(f"{table}.{touched.renamed.get(column, column)}"))
        self._of_truncated(touched)

    def _rows_lost(self, touched: Touched, now: TableId) -> int:
        if touched.replacing is not None and not touched.rekeyed:
            key, kept = touched.replacing
            missing = self._census.missing_keys(now, key, kept)
            return 0 if touched.uncounted else missing - touched.deleted
        count = self._census.count(now)
        if touched.replacing is not None:
            return 0 if touched.uncounted or touched.rows is None else touched.rows - touched.deleted - count
        return expected_rows(touched, count) - count

    def _of_doomed(self, touched: Touched, now: TableId, columns: set[str], name: str, count: int) -> None:
        """A column of the name may be there again, filled from what the old one held."""
        column = f"{touched.origin}.{name}"
        if folded(name) not in columns or folded(name) in touched.renamed:
            self._lose("column", column, count)
        elif count:
            self._lose("nulls", column, count - self._census.filled(now, [name])[folded(name)])

    def _became_null(self, touched: Touched, now: TableId, column: str, filled: int, nulls: int) -> int:
        """Fewer values and more NULLs: rows that came or went change only one of the two."""
        there = self._census.filled(now, [column])[column]
        rows = self._census.count(now)
        gone = max(0, (touched.rows or 0) + touched.inserted - rows)
        return min(filled - there - gone, rows - there - nulls - touched.inserted)

    def _of_truncated(self, touched: Touched) -> None:
        for column, count in touched.truncated.items():
            self._lose("truncated", f"{touched.origin}.{touched.renamed.get(column, column)}", count)

    # Tables that were dropped

    def _of_dropped(self, touched: Touched, was: Dropped) -> None:
        made = self._ledger.made.get(touched.origin.key) or (self._ledger.made.get(was.heir) if was.heir else None)
        if made is None or self._census.find(*made.now) is None:
            self._lose("table", str(touched.origin), was.rows)
            return
        gone = was.rows - self._census.count(made.now) - made.deleted
        self._lose("rows", str(touched.origin), 0 if made.uncounted else gone)
        theirs = {folded(column.name) for column in self._census.columns(made.now)}
        for column in was.columns:
            name = folded(column.name)
            if name not in was.kept or was.kept[name] not in theirs:
                self._of_column_of_dropped(touched, was, made, theirs, name, max(gone, 0))
        for name, count in touched.doomed:
            self._of_doomed(touched, made.now, theirs, name, count)
        self._of_truncated(touched)

    def _of_column_of_dropped(
        self, touched: Touched, was: Dropped, made: Made, theirs: set[str], name: str, gone: int
    ) -> None:
        first = touched.renamed.get(name) or next(c.name for c in was.columns if folded(c.name) == name)
        column, held = f"{touched.origin}.{first}", was.filled.get(name, 0)
        if name not in theirs:
            self._lose("column", column, held)
        elif held and name not in made.set_itself:
            self._lose("nulls", column, held - self._census.filled(made.now, [name])[name] - gone)

    # References

    def _of_references(self) -> None:
        heirs = self._heirs()
        for child in self._ledger.children.values():
            table = self._census.find(*child.table)
            if table is not None and table.key not in self._ledger.made:
                now = self._census.orphans(table, child.above)
                self._lose_references(table, now - (child.orphans or 0))
        for touched in self._ledger.gone:
            heir = heirs.get(touched.origin.key)
            if heir is not None and touched.dropped is not None and touched.dropped.orphans is not None:
                self._lose_references(touched.origin, self._census.orphans(heir) - touched.dropped.orphans)
        for made in self._ledger.made.values():
            known = made.now.key in {heir.key for heir in heirs.values()} or self._census.find(*made.now) is None
            if not known and self._census.foreign_keys(made.now):
                self._lose_references(made.now, self._census.orphans(made.now))

    def _lose_references(self, table: TableId, count: int) -> None:
        if count > 0:
            self._lose("references", str(table), count)

    def _heirs(self) -> dict[tuple[str, str], TableId]:
        """What took the place of each dropped table."""
        found = {}
        for touched in self._ledger.gone:
            made = self._ledger.made.get(touched.origin.key)
            if made is None and touched.dropped is not None and touched.dropped.heir is not None:
                made = self._ledger.made.get(touched.dropped.heir)
            if made is not None:
                found[touched.origin.key] = made.now
        return found

    # What is new

    def _list_created(self) -> None:
        heirs = {heir.key: origin for origin, heir in self._heirs().items()}
        for made in self._ledger.made.values():
            if made.now.key not in heirs and self._census.find(*made.now) is not None:
                self.created.append(str(made.now))
        for touched in self._ledger.all:
            if touched.now is not None:
                self.created += [f"{touched.now}.{column}" for column in touched.added]
            else:
                self._list_created_by_rebuild(touched)

    def _list_created_by_rebuild(self, touched: Touched) -> None:
        heir = self._heirs().get(touched.origin.key)
        if heir is None or touched.dropped is None:
            return
        was = touched.dropped
        before = {folded(column.name) for column in was.columns} | set(was.kept.values())
        self.created += [
            f"{heir}.{column.name}" for column in self._census.columns(heir) if folded(column.name) not in before
        ]
