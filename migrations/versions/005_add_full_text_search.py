"""
Full-text search over titles, abstracts and contents, by what the database has for it. "cafe" finds "café".

On SQLite (https://sqlite.org/fts5.html) the index keeps no copy of the texts: it refers to the documents, and triggers
tell it of every change. REPLACE is the exception: SQLite calls no DELETE trigger for the row that it pushes out, unless
`PRAGMA recursive_triggers` is on. Programs write ON CONFLICT DO UPDATE instead.

On PostgreSQL it is a generated column (https://www.postgresql.org/docs/current/textsearch-tables.html):
`WHERE search @@ plainto_tsquery('simple', without_accents('café'))`. On MariaDB and MySQL it is a FULLTEXT index:
`WHERE MATCH (title, abstract, content) AGAINST ('café' IN BOOLEAN MODE)`.
"""

from __future__ import annotations

from sqlmig import BaseMigration


class AddFullTextSearch(BaseMigration):
    version = 5
    description = "Full-text search over documents"
    dependencies = (1,)

    def pre_migrate_checks(self) -> bool:
        if self.connection.dialect.name != "sqlite":
            return True
        options = {row[0] for row in self.db.fetch_all("PRAGMA compile_options")}
        # Without FTS5 the library works, and finds titles only.
        return "ENABLE_FTS5" in options

    def up(self) -> None:
        if self.connection.dialect.name == "sqlite":
            self.execute_sql_file("sql/full_text_search.sql")
        elif self.connection.dialect.name == "postgresql":
            self.execute_sql_file("sql/full_text_search.postgresql.sql")
        else:
            self.execute_sql("CREATE FULLTEXT INDEX documents_search ON documents (title, abstract, content)")

    def down(self) -> None:
        if self.connection.dialect.name == "sqlite":
            for trigger in ("documents_fts_insert", "documents_fts_delete", "documents_fts_update"):
                self.execute_sql(f"DROP TRIGGER IF EXISTS {trigger}")
            self.drop_table_if_exists("documents_fts")
        elif self.connection.dialect.name == "postgresql":
            self.execute_sql("ALTER TABLE documents DROP COLUMN search")
            self.execute_sql("DROP FUNCTION without_accents")
        else:
            self.drop_index("documents_search", "documents")
