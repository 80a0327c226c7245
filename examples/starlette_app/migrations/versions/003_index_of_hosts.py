from sqlmig import BaseMigration


class IndexOfHosts(BaseMigration):
    version = 3
    description = "Entries are found by their host"

    def up(self):
        self.create_index("ix_entries_host", "entries", ["host"])

    def down(self):
        self.drop_index("ix_entries_host", "entries")
