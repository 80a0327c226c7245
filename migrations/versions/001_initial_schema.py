"""
The document library as it began: documents, their vector indexes, and tags.

The tags that every library starts with are rows of the schema: programs refer to them by name.
Only an empty library can be taken back: its documents are not this migration's to delete.
"""

from __future__ import annotations

from sqlmig import BaseMigration

TAGS = [("unread", "#9e9e9e"), ("favourite", "#f9a825"), ("archived", "#607d8b")]


class InitialSchema(BaseMigration):
    version = 1
    description = "Documents, vector indexes and tags"

    def up(self) -> None:
        self.execute_sql(
            """
            CREATE TABLE documents (
                id INTEGER PRIMARY KEY,
                title TEXT NOT NULL CHECK (title <> ''),
                abstract TEXT,
                content TEXT NOT NULL DEFAULT '',
                authors TEXT,  -- as printed: "Ada Lovelace; Charles Babbage"
                publication_year INTEGER,
                file_path TEXT UNIQUE,
                created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
            )
            """
        )
        self.execute_sql(
            """
            CREATE TABLE vector_indexes (
                id INTEGER PRIMARY KEY,
                document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
                model TEXT NOT NULL,
                dimensions INTEGER NOT NULL CHECK (dimensions > 0),
                embedding BLOB NOT NULL,
                UNIQUE (document_id, model)
            )
            """
        )
        self.execute_sql(
            "CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE, colour TEXT)"
        )
        self.execute_sql(
            """
            CREATE TABLE document_tags (
                document_id INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
                tag_id INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
                PRIMARY KEY (document_id, tag_id)
            ) WITHOUT ROWID
            """
        )
        self.execute_sql("INSERT INTO tags (name, colour) VALUES (?, ?)", TAGS)

    def post_migrate_checks(self) -> bool:
        row = self.db.fetch_one("SELECT count(*) FROM tags")
        return row is not None and row[0] == len(TAGS)

    def down(self) -> None:
        if self.db.fetch_one("SELECT 1 FROM documents LIMIT 1"):
            raise RuntimeError("the library holds documents, which a rollback would delete; remove them first")
        for table in ("document_tags", "tags", "vector_indexes", "documents"):
            self.drop_table_if_exists(table)
