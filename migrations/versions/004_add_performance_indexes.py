"""
Indexes for the queries that the library asks most.

A covering one for the list of documents, partial ones for the few rows that are looked for among many, and one over
an expression, so that a DOI is found however it was typed.
"""

from __future__ import annotations

from sqlmig import BaseMigration

INDEXES = {
    "idx_documents_list": "ON documents (created_at DESC, title, id)",
    "idx_documents_year": "ON documents (publication_year) WHERE publication_year IS NOT NULL",
    "idx_citations_document": "ON citations (document_id)",
    "idx_citations_unresolved": "ON citations (doi) WHERE cited_document_id IS NULL AND doi IS NOT NULL",
    "idx_citations_doi": "ON citations (lower(doi))",
    "idx_citation_relations_target": "ON citation_relations (target_id, kind)",
}

# They have no partial indexes, compare DOIs in any case by themselves, and index each foreign key.
ON_MYSQL = {
    "idx_documents_list": "ON documents (created_at DESC, title(190), id)",
    "idx_documents_year": "ON documents (publication_year)",
    "idx_citations_unresolved": "ON citations (doi(190), cited_document_id)",
    "idx_citations_doi": "ON citations (doi(190))",
}


class AddPerformanceIndexes(BaseMigration):
    version = 4
    description = "Indexes for lists, citations and DOIs"
    dependencies = (1, 3)

    def up(self) -> None:
        for name, definition in self._indexes().items():
            self.create_index_if_not_exists(name, f"CREATE INDEX {name} {definition}")

    def _indexes(self) -> dict[str, str]:
        return ON_MYSQL if self.connection.dialect.name in ("mysql", "mariadb") else INDEXES

    def down(self) -> None:
        for name in self._indexes():
            self.drop_index_if_exists(name)
