"""What a migration has lost, when it is done and before it commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results import Loss
from ..schema.sqlite.definition import folded
from .heirs import lost_since, rows_lost

if TYPE_CHECKING:
    from .census import Census, TableId
    from .ledger import Dropped, Ledger, Made, Touched

__all__ = ["Findings"]


class Findings:
    """
    The account of one migration.

    Attributes:
        losses: What is gone.
        removed: Every table and column that is gone or was in danger, whether or not it held anything; folded.
        created: The tables and columns that are there and were not.
        renamed: The tables and columns that were there, by what they are called now.
        dropped: The tables that were there, and are not, and the columns of others; by their names before.
    """

    def __init__(self, census: Census, ledger: Ledger, *, counting: bool) -> None:
        self._census, self._ledger = census, ledger
        self.losses: list[Loss] = []
        self.removed: set[str] = set()
        self.created: list[str] = []
        self.renamed: dict[str, str] = {}
        self.dropped = [str(touched.origin) for touched in ledger.gone]
        self.dropped += [f"{touched.origin}.{name}" for touched in ledger.all for name, _ in touched.doomed]
        self._heirs = self._find_heirs()
        for touched in ledger.all if counting else ():
            if touched.now is not None:
                self._of_living(touched, touched.now)
            elif touched.dropped is not None:
                self._of_dropped(touched, touched.dropped)
        if counting and not census.enforces_references:
            self._of_references()
        self._list_created()
        self._list_renamed()

    def _lose(self, kind: str, name: str, count: int) -> None:
        self.removed.add(folded(name))
        if count > 0:
            self.losses.append(Loss(kind=kind, name=name, count=count))

    # Tables that are still there

    def _of_living(self, touched: Touched, now: TableId) -> None:
        table = str(touched.origin)
        if touched.rows is not None or touched.uncounted:
            self._lose("rows", table, rows_lost(self._census, touched, now))
        columns = {folded(column.name) for column in self._census.columns(now)}
        for name, count in touched.doomed:
            self._of_doomed(touched, now, columns, name, count)
        for column in touched.filled:
            if column in columns and column not in touched.set_itself:
                name = f"{table}.{touched.renamed.get(column, column)}"
                self._lose("nulls", name, self._became_null(touched, now, column))
        for column in touched.set_itself:
            self.removed.add(folded(f"{table}.{touched.renamed.get(column, column)}"))
        self._of_truncated(touched)

    def _of_doomed(self, touched: Touched, now: TableId, columns: set[str], name: str, count: int) -> None:
        """A column of the name may be there again, filled from what the old one held."""
        column = f"{touched.origin}.{name}"
        if folded(name) not in columns or folded(name) in touched.renamed:
            self._lose("column", column, count)
        elif count:
            self._lose("nulls", column, count - self._census.filled(now, [name])[folded(name)])

    def _became_null(self, touched: Touched, now: TableId, column: str) -> int:
        """Fewer values and more NULLs among the rows of before; rows that went may have had either."""
        filled, nulls = touched.filled[column]
        there = self._census.filled(now, [column], touched.up_to)[column]
        rows = self._census.count(now, touched.up_to)
        if touched.by_rowid:
            gone = max(0, filled + nulls - rows)
            return max(rows - there - nulls, filled - there - gone)
        # Rows that came cannot be told from the others: they change only one of the two.
        gone = max(0, (touched.rows or 0) + touched.inserted - rows)
        return min(filled - there - gone, rows - there - nulls - touched.inserted)

    def _of_truncated(self, touched: Touched) -> None:
        for column, count in touched.truncated.items():
            self._lose("truncated", f"{touched.origin}.{touched.renamed.get(column, column)}", count)

    # Tables that were dropped

    def _of_dropped(self, touched: Touched, was: Dropped) -> None:
        made = self._heir(touched, was)
        if made is None:
            # What the migration itself had put in was nobody's.
            own = max(0, touched.brought - touched.deleted)
            self._lose("table", str(touched.origin), 0 if touched.was_empty else was.rows - own)
            return
        count = self._census.count(made.now)
        if was.copied is not None:
            gone = max(0, was.rows - was.copied) + was.lost + lost_since(made, count)
        else:
            gone = 0 if made.deleted is None else was.rows - count - made.deleted
        self._lose("rows", str(touched.origin), gone)
        theirs = {folded(column.name) for column in self._census.columns(made.now)}
        for column in was.columns:
            name = folded(column.name)
            if name not in was.kept or was.kept[name] not in theirs:
                self._of_column_of_dropped(touched, was, made, theirs, name, max(gone, 0))
        for name, lost in touched.doomed:
            self._of_doomed(touched, made.now, theirs, name, lost)
        self._of_truncated(touched)

    def _heir(self, touched: Touched, was: Dropped) -> Made | None:
        """The table of the migration's that has its name, or else its rows."""
        for key in (touched.origin.key, was.heir):
            made = self._ledger.made.get(key) if key is not None else None
            if made is not None and self._census.find(*made.now) is not None:
                return made
        return None

    def _of_column_of_dropped(
        self, touched: Touched, was: Dropped, made: Made, theirs: set[str], name: str, gone: int
    ) -> None:
        first = touched.renamed.get(name) or next(c.name for c in was.columns if folded(c.name) == name)
        column, held = f"{touched.origin}.{first}", was.filled.get(name, 0)
        if name in map(folded, touched.added):
            return
        if name not in theirs:
            self._lose("column", column, held)
        elif held and name not in made.set_itself:
            self._lose("nulls", column, held - self._census.filled(made.now, [name])[name] - gone)

    # References

    def _of_references(self) -> None:
        heirs = {origin: made.now for origin, made in self._heirs.items()}
        for child in self._ledger.children.values():
            table = self._census.find(*child.table)
            if table is None or table.key in self._ledger.made:
                continue
            if child.above is not None:
                self._lose_references(table, self._census.orphans_above(table, child.above))
            elif child.without is None or self._census.find(*child.without) is None:
                self._lose_references(table, self._census.orphans(table) - (child.orphans or 0))
        for touched in self._ledger.gone:
            heir = heirs.get(touched.origin.key)
            if heir is not None and touched.dropped is not None and touched.dropped.orphans is not None:
                self._lose_references(touched.origin, self._census.orphans(heir) - touched.dropped.orphans)
        taken = {heir.key for heir in heirs.values()}
        for made in self._ledger.made.values():
            if made.now.key not in taken and self._census.find(*made.now) is not None:
                self._lose_references(made.now, self._census.orphans(made.now))

    def _lose_references(self, table: TableId, count: int) -> None:
        if count > 0:
            self._lose("references", str(table), count)

    def _find_heirs(self) -> dict[tuple[str, str], Made]:
        """What took the place of each dropped table."""
        found = {}
        for touched in self._ledger.gone:
            made = self._heir(touched, touched.dropped) if touched.dropped is not None else None
            # Without counting, a table of the same name is all that there is to go by.
            made = made or self._ledger.made.get(touched.origin.key)
            if made is not None:
                found[touched.origin.key] = made
        return found

    # What is new, and what is called otherwise

    def _list_created(self) -> None:
        taken = {made.now.key for made in self._heirs.values()}
        for made in self._ledger.made.values():
            if made.now.key not in taken and self._census.find(*made.now) is not None:
                self.created.append(str(made.now))
        for touched in self._ledger.all:
            if touched.now is not None:
                self.created += [f"{touched.now}.{column}" for column in touched.added]
            elif touched.origin.key in self._heirs and touched.dropped is not None:
                self._list_created_by_rebuild(touched, touched.dropped, self._heirs[touched.origin.key].now)

    def _list_created_by_rebuild(self, touched: Touched, was: Dropped, heir: TableId) -> None:
        before = {folded(column.name) for column in was.columns} | set(was.kept.values())
        before -= set(map(folded, touched.added))
        self.created += [
            f"{heir}.{column.name}" for column in self._census.columns(heir) if folded(column.name) not in before
        ]

    def _list_renamed(self) -> None:
        for touched in self._ledger.all:
            heir = self._heirs.get(touched.origin.key)
            now = touched.now or (heir.now if heir is not None else None)
            if now is None:
                continue
            if now.key != touched.origin.key:
                self.renamed[str(touched.origin)] = str(now)
            columns = dict(touched.renamed)
            if touched.dropped is not None:
                columns |= {there: name for name, there in touched.dropped.kept.items() if there != name}
            self.renamed |= {f"{touched.origin}.{first}": f"{now}.{name}" for name, first in columns.items()}
