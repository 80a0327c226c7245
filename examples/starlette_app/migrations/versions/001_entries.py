"""The entries that a new reader begins with are those that its welcome page links to."""

from sqlmig import BaseMigration

ENTRIES = [(f"https://example.org/{n}", f"Entry {n}") for n in range(1, 4)]


class Entries(BaseMigration):
    version = 1
    description = "Entries of feeds"

    def up(self):
        self.execute_sql("CREATE TABLE entries (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE, title TEXT)")
        self.execute_sql("INSERT INTO entries (url, title) VALUES (?, ?)", ENTRIES)

    def down(self):
        self.drop_table("entries")
