-- The triggers hand the index the old text when they take it out: it cannot ask for what is already gone.
CREATE VIRTUAL TABLE documents_fts USING fts5(
    title, abstract, content,
    content = 'documents', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TRIGGER documents_fts_insert AFTER INSERT ON documents BEGIN
    INSERT INTO documents_fts (rowid, title, abstract, content)
    VALUES (new.id, new.title, new.abstract, new.content);
END;

CREATE TRIGGER documents_fts_delete AFTER DELETE ON documents BEGIN
    INSERT INTO documents_fts (documents_fts, rowid, title, abstract, content)
    VALUES ('delete', old.id, old.title, old.abstract, old.content);
END;

CREATE TRIGGER documents_fts_update AFTER UPDATE OF id, title, abstract, content ON documents BEGIN
    INSERT INTO documents_fts (documents_fts, rowid, title, abstract, content)
    VALUES ('delete', old.id, old.title, old.abstract, old.content);
    INSERT INTO documents_fts (rowid, title, abstract, content)
    VALUES (new.id, new.title, new.abstract, new.content);
END;

INSERT INTO documents_fts (documents_fts) VALUES ('rebuild');
