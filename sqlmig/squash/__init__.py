"""Migrations made one, which is proved to do the same before it takes their place."""
