"""A schema for people to look at: as statements, in words, as a drawing, and on a page with all that is known of it."""
