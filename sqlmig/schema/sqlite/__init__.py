"""Full ALTER on SQLite: native where it exists, an edit of the stored text where rows stay, else a copy of the rows."""
