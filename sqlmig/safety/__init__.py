"""What is done before a database is touched, so that nothing is lost: a rehearsal on a copy, and snapshots."""
