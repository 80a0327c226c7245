"""
Authors become rows of their own, in the order in which each document names them.

`documents.authors` stays as it was printed, so that the way back loses nothing that was there before; what programs
wrote to the new tables only goes with them. The documents are read a batch at a time, each batch going on after the
last id of the one before: an OFFSET would count them anew. Documents that have their authors already are left alone.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text, bindparam, select
from sqlalchemy.dialects.sqlite import insert

from sqlmig import BaseMigration

BATCH = 500
LOWEST_ID = -(2**63)  # an id that somebody set may be zero or negative

metadata = MetaData()
documents = Table("documents", metadata, Column("id", Integer, primary_key=True), Column("authors", Text))
authors = Table(
    "authors",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
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
        last = LOWEST_ID
        while batch := self._batch_after(last):
            last = max(batch)
            self._store(batch)

    def _batch_after(self, last: int) -> dict[int, list[str]]:
        done = select(document_authors.c.document_id).where(document_authors.c.document_id == documents.c.id)
        query = select(documents.c.id, documents.c.authors).where(documents.c.id > last, ~done.exists())
        rows = self.db.fetch_all(query.order_by(documents.c.id).limit(BATCH))
        return {row["id"]: names(row["authors"] or "") for row in rows}

    def _store(self, batch: dict[int, list[str]]) -> None:
        listed = [
            {"document": document, "place": place, "name": name}
            for document, found in batch.items()
            for place, name in enumerate(found, start=1)
        ]
        if not listed:
            return
        self.execute_sql(insert(authors).on_conflict_do_nothing(), [{"name": row["name"]} for row in listed])
        # Each name is looked up where it is used: one IN over a batch's names can exceed SQLite's variables.
        named = authors.c.name == bindparam("name")
        link = select(bindparam("document"), bindparam("place"), authors.c.id).where(named)
        self.execute_sql(insert(document_authors).from_select(["document_id", "position", "author_id"], link), listed)

    def post_migrate_checks(self) -> bool:
        # A letter is surely part of a name; of other characters, only `names` can tell.
        missed = "authors GLOB '*[A-Za-z]*' AND id NOT IN (SELECT document_id FROM document_authors)"
        return self.db.fetch_one(f"SELECT 1 FROM documents WHERE {missed} LIMIT 1") is None

    def down(self) -> None:
        self.drop_table_if_exists("document_authors")
        self.drop_table_if_exists("authors")
