"""What is done before a database is touched, so that nothing is lost: a rehearsal on a copy, and snapshots."""

"""What keeps a database from harm: a verified copy before it is migrated, and the way back to it."""
