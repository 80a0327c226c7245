from sqlalchemy import Column, String

from sqlmig import BaseMigration


class Moods(BaseMigration):
    version = 2
    description = "Guests are in a mood, by default in a good one"

    def up(self):
        self.add_column("entries", Column("mood", String(20), server_default="good", nullable=False))
        self.create_check("entries", "ck_entries_mood", "mood IN ('good', 'bad')")

    def down(self):
        self.drop_column("entries", "mood", cascade=True)
