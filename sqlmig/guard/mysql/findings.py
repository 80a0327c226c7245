"""What a migration has lost on MariaDB or MySQL, and made, when it is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ...results import Loss

__all__ = ["MySQLFindings", "Names"]


class Names:
    """
    What tables and columns are called now that were there before.

    Args:
        before: The tables with their columns, as they were.
    """

    def __init__(self, before: Mapping[str, Sequence[str]]) -> None:
        self.before = before
        self._tables = {table.lower(): table for table in before}
        self._columns = {(t.lower(), c.lower()): c for t, columns in before.items() for c in columns}

    def first(self, table: str) -> str | None:
        """What a table was called before; None where the migration has made it."""
        # Of another database it is not known what was there: nothing there is taken for the migration's own.
        return table if "." in table else self._tables.get(table.lower())

    def first_column(self, table: str, column: str) -> str | None:
        """The same of a column: with its table's name before."""
        of = self.first(table)
        found = self._columns.get((table.lower(), column.lower())) if "." not in table else column
        return f"{of}.{found}" if of is not None and found is not None else None

    def rename(self, table: str, now: str) -> None:
        """A table has another name from here on."""
        first = self._tables.pop(table.lower(), None)
        moved = {key: self._columns.pop(key) for key in list(self._columns) if key[0] == table.lower()}
        if first is not None:
            self._tables[now.lower()] = first
            self._columns |= {(now.lower(), column): found for (_, column), found in moved.items()}

    def rename_columns(self, table: str, pairs: Sequence[tuple[str, str]]) -> None:
        """Columns have other names from here on; two may exchange theirs."""
        taken = [(now, self._columns.pop((table.lower(), column.lower()), None)) for column, now in pairs]
        self._columns |= {(table.lower(), now.lower()): first for now, first in taken if first is not None}

    def forget(self, table: str, column: str | None = None) -> None:
        """A table, or a column, is gone: what has its name later is another."""
        if column is not None:
            self._columns.pop((table.lower(), column.lower()), None)
            return
        self._tables.pop(table.lower(), None)
        for key in [key for key in self._columns if key[0] == table.lower()]:
            del self._columns[key]


class MySQLFindings:
    """
    The account of one migration.

    Attributes:
        losses: What is gone.
        removed: Every table and column that is gone or was in danger, whether or not it held anything; in lower case.
        created: The tables and columns that are there and were not.
        renamed: The tables and columns that were there, by what they are called now.
        dropped: The tables and columns that were there, and are not; by their names before.
    """

    def __init__(
        self, names: Names, then: Mapping[str, Sequence[str]], losses: Sequence[Loss], removed: Collection[str]
    ) -> None:
        self.losses, self.removed = list(losses), set(removed)
        self.created: list[str] = []
        self.renamed: dict[str, str] = {}
        kept: set[str] = set()
        for table, columns in then.items():
            first = names.first(table)
            if first is None:
                self.created.append(table)
                continue
            kept.add(first)
            self.renamed |= {first: table} if first != table else {}
            for column in columns:
                was = names.first_column(table, column)
                if was is None:
                    self.created.append(f"{table}.{column}")
                    continue
                kept.add(was)
                self.renamed |= {was: f"{table}.{column}"} if was.rpartition(".")[2] != column else {}
        self.dropped = [table for table in names.before if table not in kept]
        for table, columns in names.before.items():
            if table in kept:
                self.dropped += [name for name in (f"{table}.{column}" for column in columns) if name not in kept]
