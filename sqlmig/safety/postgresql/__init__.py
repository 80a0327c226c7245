"""Rehearsals and snapshots of PostgreSQL, by its own pg_dump and pg_restore."""
