"""Whether models, migrations and a database agree: three real databases, compared by what their catalogues say."""
