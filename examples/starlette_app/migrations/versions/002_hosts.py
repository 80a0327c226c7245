"""Entries know their host. A reader has millions of them: they are filled in batches, each committed by itself."""

from urllib.parse import urlsplit

from sqlalchemy import Column, String

from sqlmig import ResumableMigration


class Hosts(ResumableMigration):
    version = 2
    description = "Entries know their host"

    def up(self):
        self.add_column_if_not_exists("entries", Column("host", String(255)))
        self.backfill("entries", "host", lambda url: urlsplit(url).hostname)

    def down(self):
        self.drop_column("entries", "host")
