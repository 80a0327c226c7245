"""Dangers: the tables of a database that a migration may harm, entered in the ledger and counted before it does."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..schema.sqlite.definition import folded
from .census import Census, ForeignKey, TableId
from .heirs import dropped_as, heir_disturbed, heir_dropped, heir_renames
from .ledger import Children, Copied, Ledger, Made, Touched
from .statements import Copy, Insert

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
        self.keys_kept: list[str] = []

    # Entries

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
            virtual = self.census.is_virtual(touched.now)
            touched.floor = None if virtual else self.census.last_rowid(touched.now)
            touched.inserted = touched.deleted = 0
            touched.grew = False

    def count_filled(self, touched: Touched, columns: Sequence[str]) -> None:
        """Have the values of columns counted, if they are not yet."""
        assert touched.now is not None
        wanted = [column for column in columns if folded(column) not in touched.filled]
        if wanted and self.census.is_countable(touched.now):
            self.count_rows(touched)
            now = self.census.count(touched.now, touched.up_to)
            for name, filled in self.census.filled(touched.now, wanted, touched.up_to).items():
                touched.filled[name] = filled, now - filled

    # What statements do to rows

    def growing(self, table: tuple[str, str]) -> None:
        """Rows are about to come to a table: those that are left of before stand below them."""
        touched = self.ledger.write_touched(table)
        if touched is not None and touched.now is not None and touched.rows is not None and not touched.grew:
            touched.grew = True
            if touched.floor is not None:
                touched.floor = self.census.last_rowid(touched.now)

    def inserting(self, touched: Touched, target: TableId, insert: Insert | None) -> None:
        """Rows are about to come."""
        if touched.was_empty is None and touched.rows is None:
            touched.was_empty = not self.census.rows(f"SELECT 1 FROM {target.sql} LIMIT 1")
        columns = insert.columns if insert is not None else None
        self.watch_references(target, above=not self._says_rowid(target, columns))

    def _says_rowid(self, table: TableId, columns: Sequence[str] | None) -> bool:
        """Whether an INSERT may set the rowid itself, so that its rows need not stand above the others."""
        primary = {folded(column.name) for column in self.census.columns(table) if column.pk}
        if columns is None:
            return bool(primary)
        return bool({folded(name) for name in columns} & (primary | {"rowid", "oid", "_rowid_"}))

    def replacing(self, touched: Touched, target: TableId, columns: Sequence[str] | None) -> None:
        """Rows may be written anew, and others pushed out, unseen by anything but their keys."""
        self.count_rows(touched)
        touched.replaced = True
        if touched.keys is None and not self.census.is_virtual(target) and self.census.may_push_others_out(target):
            key = self.census.key(target)
            touched.keys = key, self.census.keep_keys(target, key), touched.deleted
            self.keys_kept.append(touched.keys[1])
        if columns is not None:
            named = {folded(name) for name in columns}
            others = [c for c in self.census.columns(target) if not (c.pk or c.generated or c.notnull)]
            self.count_filled(touched, [c.name for c in others if folded(c.name) not in named])
        self.endanger_children(target)
        self.watch_references(target)

    def updating(self, table: TableId, columns: Collection[str]) -> None:
        """Columns, folded, are about to be set by the migration itself: keys among them, perhaps, and references."""
        touched = self.touch(table)
        if touched is not None:
            touched.set_itself |= set(columns)
            touched.rekeyed = touched.rekeyed or bool({folded(name) for name in self.census.key(table)} & set(columns))
        elif table.key not in self.ledger.made:
            return
        self.endanger_children(table, columns)
        if any(set(columns) & set(key.columns) for key in self.census.foreign_keys(table)):
            self.watch_references(table)

    def disturbing(self, made: Made, column: str) -> None:
        """A foreign key or a trigger is about to set a column of a table that the migration has made."""
        if folded(column) not in made.disturbed:
            made.disturbed.add(folded(column))
            heir_disturbed(self.census, self.ledger, made.now, column)

    # References

    def endanger_children(self, parent: TableId, columns: Collection[str] | None = None) -> None:
        """
        Rows that refer to *parent* may be left with nothing, where SQLite does not see to it itself.

        Args:
            columns: Folded; only what refers to these.
        """
        if not self.counting or self.census.enforces_references:
            return
        if parent.key in self.ledger.made and not self.ledger.places_taken(parent.key):
            return
        for child, key in self.census.references_to(parent):
            if columns is None or set(key.parent_columns) & set(columns) or self._by_primary_key(parent, key, columns):
                self.watch_references(child)

    def _by_primary_key(self, parent: TableId, key: ForeignKey, columns: Collection[str]) -> bool:
        if "" not in key.parent_columns:
            return False
        return bool({folded(column.name) for column in self.census.columns(parent) if column.pk} & set(columns))

    def watch_references(self, child: TableId, *, above: bool = False) -> None:
        """
        Note how many references of a table lead nowhere.

        Args:
            above: Only rows that come are in danger, and stand above those that are there.
        """
        if not self.counting or child.key in self.ledger.made or self.census.enforces_references:
            return
        known = self.ledger.children.get(child.key)
        if known is not None and known.without is None and (known.orphans is not None or above):
            return
        if not self.census.foreign_keys(child):
            return
        floor = self.census.last_rowid(child) if above else None
        if floor is not None:
            self.ledger.children[child.key] = Children(child, above=floor)
            return
        came = self.census.orphans_above(child, known.above) if known is not None and known.above is not None else 0
        self.ledger.children[child.key] = Children(child, orphans=self.census.orphans(child) - came)

    # What statements do to tables

    def creating(self, schema: str | None, name: str) -> Made | None:
        """A table is about to be made; None where there is one."""
        table = TableId(schema or "main", name)
        if self.census.find(*table) is not None:
            return None
        made = self.ledger.made[table.key] = Made(table, epoch=self.ledger.epoch)
        return made

    def copying(self, made: Made, copy: Copy, columns: tuple[str, ...] | None) -> Copied:
        """Rows of one table are about to be copied into one that the migration has made."""
        made.copies.append(Copied(copy, columns))
        return made.copies[-1]

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
            self._leave_children(touched, table)
        touched.now = None
        del self.ledger.touched[table.key]
        self.ledger.gone.append(touched)

    def _leave_children(self, touched: Touched, table: TableId) -> None:
        """What refers to a table that goes is safe where another with all of its rows will get its name."""
        was = touched.dropped
        assert was is not None
        made = self.ledger.made.get(was.heir) if was.heir is not None else None
        left = was.copied if was.copied is not None else 0
        as_they_are = made is not None and made.deleted == 0 and not made.set_itself & set(was.kept.values())
        whole = as_they_are and left >= was.rows and len(was.kept) == len(was.columns)
        if not whole or touched.origin.key != table.key:
            self.endanger_children(table)
        elif not self.census.enforces_references:
            for child, _ in self.census.references_to(table):
                if child.key not in self.ledger.children and child.key not in self.ledger.made:
                    self.ledger.children[child.key] = Children(child, without=table.key)

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
            moved = Children(becomes, children.orphans, children.above, children.without)
            self.ledger.children[becomes.key] = moved

    def adding_column(self, table: TableId, column: str) -> None:
        """A column is about to be added."""
        touched = self.touch(table)
        if touched is not None:
            touched.added.append(column)

    def dropping_column(self, table: TableId, column: str, real: str | None = None) -> None:
        """
        A column is about to be dropped.

        Args:
            real: What it is called still, where it is renamed along with that.
        """
        touched = self.touch(table)
        if touched is None:
            heir_disturbed(self.census, self.ledger, table, column)
        elif folded(column) in map(folded, touched.added):
            touched.added = [name for name in touched.added if folded(name) != folded(column)]
        elif self.counting:
            wanted = folded(real or column)
            found = next((c for c in self.census.columns(table) if folded(c.name) == wanted), None)
            if found is not None and not found.generated and self.census.is_countable(table):
                count = self.census.filled(table, [found.name])[wanted]
                touched.doomed.append((touched.renamed.pop(folded(column), found.name), count))

    def renaming_column(self, table: TableId, old: str, new: str) -> None:
        """A column is about to get another name."""
        touched = self.touch(table)
        if touched is None:
            heir_renames(self.ledger, table, old, new)
            return
        if folded(old) in map(folded, touched.added):
            touched.added = [new if folded(name) == folded(old) else name for name in touched.added]
            return
        was, becomes = folded(old), folded(new)
        touched.renamed[becomes] = touched.renamed.pop(was, old)
        if was in touched.filled:
            touched.filled[becomes] = touched.filled.pop(was)
        if was in touched.truncated:
            touched.truncated[becomes] = touched.truncated.pop(was)
        if was in touched.set_itself:
            touched.set_itself = (touched.set_itself - {was}) | {becomes}
        if touched.keys is not None:
            key, kept, taken = touched.keys
            touched.keys = [new if folded(name) == was else name for name in key], kept, taken
