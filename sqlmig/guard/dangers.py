"""Dangers: the tables of a database that a migration may harm, entered in the ledger and counted before it does."""

from __future__ import annotations

from ..schema.sqlite.definition import folded
from . import statements
from .census import Census, TableId
from .heirs import dropped_as, heir_dropped
from .ledger import Children, Ledger, Made, Touched

__all__ = ["Dangers"]


class Dangers:
    """
    What a migration is about to do to tables, in words of tables.

    Args:
        census: What counts.
        counting: Without it, only what the migration makes is noted.
    """

    def __init__(self, census: Census, *, counting: bool) -> None:
        self.census, self.counting = census, counting
        self.ledger = Ledger()

    def touch(self, table: TableId) -> Touched | None:
        """The entry of a table that was there before; None for one that holds no data of its own, or was just made."""
        if table.key in self.ledger.made:
            return None
        known = self.ledger.write_touched(table.key)
        if known is None:
            found = self.census.find(table.schema, table.name)
            if found is None or not self.census.holds_data(found):
                return None
            known = self.ledger.touched[found.key] = Touched(found, found, epoch=self.ledger.epoch)
        return known

    def count_rows(self, touched: Touched) -> None:
        """Have the rows of a table counted, if they are not yet."""
        if touched.rows is None and touched.now is not None:
            touched.rows = self.census.count(touched.now)
            touched.inserted = touched.deleted = 0

    def count_filled(self, touched: Touched, columns: list[str]) -> None:
        """Have the values of columns counted, if they are not yet."""
        assert touched.now is not None
        wanted = [column for column in columns if folded(column) not in touched.filled]
        if wanted and not self.census.is_virtual(touched.now):
            self.count_rows(touched)
            now = self.census.count(touched.now)
            for name, filled in self.census.filled(touched.now, wanted).items():
                touched.filled[name] = filled, now - filled

    def endanger_children(self, parent: TableId) -> None:
        """Where SQLite does not see to it itself, rows that refer to *parent* may be left with nothing."""
        if self.census.enforces_references or parent.key in self.ledger.made:
            return
        for child in self.census.children(parent):
            self.watch_references(child)

    def watch_references(self, child: TableId, *, inserting: bool = False) -> None:
        if child.key in self.ledger.made or self.census.enforces_references:
            return
        known = self.ledger.children.get(child.key)
        if known is not None and (known.orphans is not None or inserting):
            return
        if not self.census.foreign_keys(child):
            return
        above = self.census.last_rowid(child) if inserting else None
        orphans = self.census.orphans(child) if above is None else None
        self.ledger.children[child.key] = Children(child, orphans, above)

    def creating(self, schema: str | None, name: str, copied: statements.Copy | None = None) -> None:
        """A table is about to be made."""
        if self.census.find(schema, name) is None:
            table = TableId(schema or "main", name)
            made = self.ledger.made[table.key] = Made(table, epoch=self.ledger.epoch)
            if copied is not None:
                made.copies.append((copied, None))

    def dropping_table(self, table: TableId) -> None:
        """A table is about to be dropped."""
        made = self.ledger.made.get(table.key)
        if made is not None:
            if self.counting:
                heir_dropped(self.census, self.ledger, made)
            del self.ledger.made[table.key]
            return
        touched = self.touch(table)
        if touched is None:
            return
        if self.counting:
            touched.dropped = dropped_as(self.census, self.ledger, touched, table)
            if len(touched.dropped.kept) < len(touched.dropped.columns) or not touched.dropped.columns:
                self.endanger_children(table)
        touched.now = None
        del self.ledger.touched[table.key]
        self.ledger.gone.append(touched)

    def renaming_table(self, table: TableId, new: str) -> None:
        """A table is about to get another name."""
        becomes = TableId(table.schema, new)
        made = self.ledger.write_made(table.key)
        if made is not None:
            made.now = becomes
            del self.ledger.made[table.key]
            self.ledger.made[becomes.key] = made
            for gone in self.ledger.write_gone():
                if gone.dropped is not None and gone.dropped.heir == table.key:
                    gone.dropped.heir = becomes.key
            return
        touched = self.touch(table)
        if touched is not None:
            touched.now = becomes
            del self.ledger.touched[table.key]
            self.ledger.touched[becomes.key] = touched
        children = self.ledger.children.pop(table.key, None)
        if children is not None:
            self.ledger.children[becomes.key] = Children(becomes, children.orphans, children.above)

    def dropping_column(self, touched: Touched, column: str, real: str | None = None) -> None:
        """
        A column is about to be dropped.

        Args:
            real: What it is called still, where it is renamed along with that.
        """
        assert touched.now is not None
        if folded(column) in map(folded, touched.added):
            touched.added = [name for name in touched.added if folded(name) != folded(column)]
            return
        if self.counting:
            wanted = folded(real or column)
            found = next((c for c in self.census.columns(touched.now) if folded(c.name) == wanted), None)
            if found is None or found.generated or self.census.is_virtual(touched.now):
                return
            count = self.census.filled(touched.now, [found.name])[wanted]
            touched.doomed.append((touched.renamed.pop(folded(column), found.name), count))

    def renaming_column(self, touched: Touched, old: str, new: str) -> None:
        """A column is about to get another name."""
        if folded(old) in map(folded, touched.added):
            touched.added = [new if folded(name) == folded(old) else name for name in touched.added]
            return
        touched.renamed[folded(new)] = touched.renamed.pop(folded(old), old)
        if folded(old) in touched.filled:
            touched.filled[folded(new)] = touched.filled.pop(folded(old))
