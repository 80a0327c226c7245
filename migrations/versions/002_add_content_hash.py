"""
Documents know the hash of their content, so that a file which comes in twice is recognised.

SQLite cannot compute SHA-256, so the backfill reads each content once, a batch at a time.
"""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import Column, String

from sqlmig import BaseMigration

BATCH = 100  # contents can be long
LOWEST_ID = -(2**63)  # an id that somebody set may be zero or negative


class AddContentHash(BaseMigration):
    @property
    def version(self) -> int:
        return 2

    @property
    def description(self) -> str:
        return "Hash of each document's content"

    @property
    def dependencies(self) -> list[int]:
        return [1]

    def up(self) -> None:
        self.add_column_if_not_exists("documents", Column("content_hash", String(64)))
        last = LOWEST_ID
        while rows := self.db.fetch_all(
            "SELECT id, content FROM documents WHERE id > ? ORDER BY id LIMIT ?", (last, BATCH)
        ):
            last = rows[-1]["id"]
            hashes = [(sha256(row["content"].encode()).hexdigest(), row["id"]) for row in rows]
            self.execute_sql("UPDATE documents SET content_hash = ? WHERE id = ?", hashes)
        self.create_index_if_not_exists("idx_documents_content_hash", "documents", ["content_hash"])

    def post_migrate_checks(self) -> bool:
        return self.db.fetch_one("SELECT 1 FROM documents WHERE content_hash IS NULL LIMIT 1") is None

    def down(self) -> None:
        # The index first: SQLite drops no column that an index still covers.
        self.drop_index_if_exists("idx_documents_content_hash")
        self.drop_column("documents", "content_hash")
