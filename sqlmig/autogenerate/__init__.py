"""A migration written from the difference between models and migrations, and proved before it is kept."""
