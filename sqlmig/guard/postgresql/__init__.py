"""The guard's eyes on PostgreSQL, where the server itself tells what became of rows, tables and columns."""
