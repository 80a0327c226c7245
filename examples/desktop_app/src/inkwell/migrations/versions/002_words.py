"""How many words an entry has is counted by SQLite when it is written, so that no release can forget to."""

from sqlalchemy import Column, Integer

from sqlmig import BaseMigration

COUNT = "length(trim(body)) - length(replace(trim(body), ' ', '')) + (trim(body) <> '')"


class Words(BaseMigration):
    version = 2
    description = "Entries know how many words they have"

    def up(self):
        self.add_column("entries", Column("words", Integer, server_default="0", nullable=False))
        self.execute_sql(f"UPDATE entries SET words = {COUNT}")
        for moment in ("INSERT", "UPDATE OF body"):
            name = f"count_words_{moment.split()[0].lower()}"
            counted = f"UPDATE entries SET words = {COUNT} WHERE id = new.id;"
            self.create_trigger(name, f"AFTER {moment} ON entries BEGIN {counted} END")

    def down(self):
        for moment in ("insert", "update"):
            self.drop_trigger(f"count_words_{moment}", "entries")
        self.drop_column("entries", "words")
