"""
Authors become rows of their own, in the order in which each document names them.

`documents.authors` stays as it was printed, so that the way back loses nothing that was there before; what programs
wrote to the new tables only goes with them. The documents are read a batch at a time, each batch going on after the
last id of the one before: an OFFSET would count them anew. Documents that have their authors already are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
)

from sqlmig import BaseMigration

BATCH = 500  # of documents, and of names: SQLite may take no more than 999 values in a statement
LOWEST_ID = -(2**63)  # an id that somebody set may be zero or negative

Id = BigInteger().with_variant(Integer, "sqlite")
# Gödel and Godel are two authors, whatever the collation of the database.
Name = Text().with_variant(String(700, collation="utf8mb4_bin"), "mysql", "mariadb")

metadata = MetaData()
documents = Table("documents", metadata, Column("id", Id, primary_key=True), Column("authors", Text))
authors = Table(
    "authors",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
)
document_authors = Table(
    "document_authors",
    metadata,
    Column("document_id", ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("author_id", ForeignKey("authors.id"), nullable=False, index=True),
)


def names(printed: str) -> list[str]:
    """`"Ada  Lovelace; ;Ada Lovelace"` names Ada Lovelace, once."""
    return list(dict.fromkeys(name for part in printed.split(";") if (name := " ".join(part.split()))))


class NormaliseAuthors(BaseMigration):
    version = 7
    description = "Authors in a table of their own"
    dependencies = (1,)

    def up(self) -> None:
        self.create_table_if_not_exists(authors)
        self.create_table_if_not_exists(document_authors)
        for batch in self._batches():
            self._store(batch)

    def _batches(self) -> Iterator[dict[int, list[str]]]:
        last = LOWEST_ID
        while batch := self._batch_after(last):
            yield batch
            last = max(batch)

    def _batch_after(self, last: int) -> dict[int, list[str]]:
        done = select(document_authors.c.document_id).where(document_authors.c.document_id == documents.c.id)
        query = select(documents.c.id, documents.c.authors).where(documents.c.id > last, ~done.exists())
        rows = self.db.fetch_all(query.order_by(documents.c.id).limit(BATCH))
        return {row["id"]: names(row["authors"] or "") for row in rows}

    def _store(self, batch: dict[int, list[str]]) -> None:
        listed = list(dict.fromkeys(name for found in batch.values() for name in found))
        ids = self._ids(listed)
        if new := [name for name in listed if name not in ids]:
            self.execute_sql(insert(authors), [{"name": name} for name in new])
            ids |= self._ids(new)
        links = [
            {"document_id": document, "position": position, "author_id": ids[name]}
            for document, found in batch.items()
            for position, name in enumerate(found, start=1)
        ]
        self.execute_sql(insert(document_authors), links)

    def _ids(self, listed: list[str]) -> dict[str, int]:
        ids: dict[str, int] = {}
        for start in range(0, len(listed), BATCH):
            some = authors.c.name.in_(listed[start : start + BATCH])
            ids |= {row["name"]: row["id"] for row in self.db.fetch_all(select(authors).where(some))}
        return ids

    def post_migrate_checks(self) -> bool:
        return not any(names for batch in self._batches() for names in batch.values())

    def down(self) -> None:
        self.drop_table_if_exists("document_authors")
        self.drop_table_if_exists("authors")
