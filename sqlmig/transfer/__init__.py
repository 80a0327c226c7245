"""A whole database copied into another, of the same kind or of another: schema by its migrations, rows in batches."""
