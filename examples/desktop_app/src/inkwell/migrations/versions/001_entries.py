from sqlmig import BaseMigration


class Entries(BaseMigration):
    version = 1
    description = "Entries of the diary"

    def up(self):
        self.execute_sql(
            """
            CREATE TABLE entries (
                id INTEGER PRIMARY KEY,
                body TEXT NOT NULL,
                written_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
            )
            """
        )

    def down(self):
        self.drop_table("entries")
