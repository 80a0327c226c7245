"""
Citations: what a document refers to, and how two documents of the library are related.

A citation stays when the document that it points to is deleted; it goes with the document that it stands in.
There is a way back only while nothing has been cited or related yet: what was collected exists nowhere else.
"""

from __future__ import annotations

from sqlmig import BaseMigration


class AddCitationTables(BaseMigration):
    version = 3
    description = "Citations and relations between documents"
    dependencies = (1,)

    def up(self) -> None:
        self.create_table_if_not_exists(
            "citations",
            """
            CREATE TABLE citations (
                id INTEGER PRIMARY KEY,
                document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
                cited_document_id INTEGER REFERENCES documents (id) ON DELETE SET NULL,
                raw_text TEXT NOT NULL,
                authors TEXT,
                publication_year INTEGER,
                doi TEXT
            )
            """,
        )
        self.create_table_if_not_exists(
            "citation_relations",
            """
            CREATE TABLE citation_relations (
                source_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
                target_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
                kind TEXT NOT NULL CHECK (kind IN ('cites', 'extends', 'contradicts')),
                confidence REAL NOT NULL DEFAULT 1.0 CHECK (confidence BETWEEN 0 AND 1),
                PRIMARY KEY (source_id, target_id, kind),
                CHECK (source_id <> target_id)
            )
            """,
        )

    def down(self) -> None:
        for table in ("citation_relations", "citations"):
            if self.db.fetch_one(f"SELECT 1 FROM {table} LIMIT 1"):
                raise RuntimeError(f"{table} has rows, which a rollback would delete; remove them first")
            self.drop_table_if_exists(table)
