"""Real applications from the package index, each with its Alembic history, under both tools."""
