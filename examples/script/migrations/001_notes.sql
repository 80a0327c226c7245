-- sqlmig: description: Notes
-- sqlmig: up
CREATE TABLE notes (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL CHECK (text <> ''),
    written_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
-- sqlmig: down
DROP TABLE notes;
