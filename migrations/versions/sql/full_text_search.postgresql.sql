-- The marks over and under letters are characters of their own in Unicode's form NFD.
CREATE FUNCTION without_accents(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT regexp_replace(normalize(words, NFD), '[\u0300-\u036f]', '', 'g') $$;

-- A tsvector holds one megabyte: of a longer content, what begins it is found.
ALTER TABLE documents ADD COLUMN search tsvector GENERATED ALWAYS AS (
    to_tsvector(
        'simple',
        without_accents(title || ' ' || coalesce(abstract, '') || ' ' || left(content, 400000))
    )
) STORED;

CREATE INDEX documents_search ON documents USING gin (search);
