"""Ratios of sqlmig to the floor and to Alembic, interleaved in one run: `python -m bench`."""
