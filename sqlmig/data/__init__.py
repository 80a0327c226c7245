"""Rows read and written in batches, in a migration or outside of one."""
