from sqlmig import BaseMigration


class Entries(BaseMigration):
    version = 1
    description = "What guests write"

    def up(self):
        self.execute_sql("CREATE TABLE entries (id INTEGER PRIMARY KEY, guest TEXT NOT NULL, body TEXT NOT NULL)")
        self.execute_sql("INSERT INTO entries (guest, body) VALUES (?, ?)", ("The host", "Welcome!"))

    def down(self):
        self.drop_table("entries")
