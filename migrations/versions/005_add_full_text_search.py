"""
Full-text search over titles, abstracts and contents (https://sqlite.org/fts5.html).

The index keeps no copy of the texts: it refers to the documents, and triggers tell it of every change.
REPLACE is the exception: SQLite calls no DELETE trigger for the row that it pushes out, unless
`PRAGMA recursive_triggers` is on. Programs write ON CONFLICT DO UPDATE instead.
"""

from __future__ import annotations

from sqlmig import BaseMigration


class AddFullTextSearch(BaseMigration):
    version = 5
    description = "Full-text search over documents"
    dependencies = (1,)

    def pre_migrate_checks(self) -> bool:
        options = {row[0] for row in self.db.fetch_all("PRAGMA compile_options")}
        # Without FTS5 the library works, and finds titles only.
        return "ENABLE_FTS5" in options

    def up(self) -> None:
        self.execute_sql_file("sql/full_text_search.sql")

    def down(self) -> None:
        for trigger in ("documents_fts_insert", "documents_fts_delete", "documents_fts_update"):
            self.execute_sql(f"DROP TRIGGER IF EXISTS {trigger}")
        self.drop_table_if_exists("documents_fts")
