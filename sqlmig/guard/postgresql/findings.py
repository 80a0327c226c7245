"""What a migration has lost on PostgreSQL, when it is done and before it commits."""

from __future__ import annotations

from ...results import Loss
from .census import ServerCensus
from .ledger import Dropped, ServerLedger

__all__ = ["ServerFindings"]


class ServerFindings:
    """
    The account of one migration.

    Attributes:
        losses: What is gone.
        removed: Every table and column that is gone or was in danger, whether or not it held anything; in lower case.
        created: The tables and columns that are there and were not.
        renamed: The tables and columns that were there, by what they are called now.
        dropped: The tables and columns that were there, and are not; by their names before.
    """

    def __init__(self, census: ServerCensus, ledger: ServerLedger, *, counting: bool) -> None:
        self._census, self._ledger, self._then = census, ledger, census.tables()
        self.losses: list[Loss] = []
        self.removed: set[str] = set()
        self.created: list[str] = []
        self.renamed: dict[str, str] = {}
        self.dropped: list[str] = []
        if counting:
            deleted = census.deleted() - ledger.at_start - ledger.undone
            self._of_dropped()
            self._of_rows(deleted - ledger.own)
            self._of_values(deleted)
        self._list_gone()
        self._list_new()

    def _lose(self, kind: str, name: str, count: int) -> None:
        self.removed.add(name.lower())
        if count > 0:
            self.losses.append(Loss(kind=kind, name=name, count=count))

    def _of_dropped(self) -> None:
        before = self._ledger.before
        heirs = {table.name: oid for oid, table in self._then.items() if oid not in before and table.ours}
        for was in self._ledger.dropped:
            if was.table.name in heirs:
                self._of_replaced(was, heirs[was.table.name])
            else:
                self._lose("table", was.table.name, was.rows)
        for oid, column, count in self._ledger.columns:
            self._lose("column", f"{before[oid].name}.{column}", count)

    def _of_replaced(self, was: Dropped, oid: int) -> None:
        """Another table has its name."""
        ledger, heir, name = self._ledger, self._then[oid], was.table.name
        # What the migration itself has deleted of the heir, or of one between, is its own affair.
        own = ledger.own[oid] + ledger.own_of[name]
        kept = [
            column
            for column in was.filled
            if heir.number_of(column) is not None and (oid, column.lower()) not in ledger.set_itself
        ]
        rows, values = self._census.filled(heir, kept)
        gone = max(0, was.rows - rows - own)
        self._lose("rows", name, 0 if oid in ledger.uncounted or name in ledger.uncounted_of else gone)
        for column, filled in was.filled.items():
            if heir.number_of(column) is None:
                self._lose("column", f"{name}.{column}", filled)
            elif column in values:
                self._lose("nulls", f"{name}.{column}", filled - values[column] - gone - own)

    def _of_rows(self, lost: dict[int, int]) -> None:
        ledger = self._ledger
        for oid, count in ledger.emptied:
            self._lose("rows", ledger.before[oid].name, count)
        for oid in {*lost, *ledger.own, *ledger.uncounted}:
            if oid in ledger.before and oid in self._then:
                self._lose("rows", ledger.before[oid].name, 0 if oid in ledger.uncounted else lost.get(oid, 0))
        self.removed |= {
            f"{ledger.before[oid].name}.{column}".lower() for oid, column in ledger.set_itself if oid in ledger.before
        }

    def _of_values(self, deleted: dict[int, int]) -> None:
        ledger = self._ledger
        for table, column, count in ledger.truncated:
            self._lose("truncated", f"{table}.{column}", count)
        for (oid, column), filled in ledger.filled.items():
            if oid not in self._then or (oid, column.lower()) in ledger.set_itself:
                continue
            then = self._then[oid]
            was = ledger.before.get(oid, then)
            number = was.number_of(column)
            now = then.columns.get(number) if number is not None else None
            if now is not None:
                left = self._census.count(then.sql, now)
                self._lose("nulls", f"{was.name}.{column}", filled - left - deleted.get(oid, 0))

    def _list_gone(self) -> None:
        before, then = self._ledger.before, self._then
        # What another connection has dropped or altered meanwhile is none of this migration's.
        own = self._census.locked() if before.keys() - then.keys() else set()
        for oid, was in before.items():
            if oid not in then:
                self.dropped += [was.name] if oid in own else []
            elif then[oid].ours:
                there = then[oid].columns
                gone = [column for number, column in was.columns.items() if number not in there]
                self.dropped += [f"{was.name}.{column}" for column in gone]

    def _list_new(self) -> None:
        for oid, table in self._then.items():
            was = self._ledger.before.get(oid)
            if was is None:
                self.created += [table.name] if table.ours else []
                continue
            if not table.ours:
                continue
            if was.name != table.name:
                self.renamed[was.name] = table.name
            for number, column in table.columns.items():
                first = was.columns.get(number)
                if first is None:
                    self.created.append(f"{table.name}.{column}")
                elif first != column:
                    self.renamed[f"{was.name}.{first}"] = f"{table.name}.{column}"
