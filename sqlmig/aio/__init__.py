"""Asynchronous engines: how a verb of `Migrator` comes to where its database may be reached, and is awaited there."""
