-- sqlmig: description: Notes are done at some time
-- sqlmig: up
ALTER TABLE notes ADD COLUMN done_at TEXT;
CREATE VIEW open_notes AS SELECT id, text FROM notes WHERE done_at IS NULL ORDER BY id;
-- sqlmig: down
DROP VIEW open_notes;
ALTER TABLE notes DROP COLUMN done_at;
