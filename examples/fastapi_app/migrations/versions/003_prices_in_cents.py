"""Prices were texts like "4.20", in which nobody can calculate."""

from sqlalchemy import Column, Integer, String

from sqlmig import BaseMigration


class PricesInCents(BaseMigration):
    version = 3
    description = "Prices are numbers of cents"
    removes = ("products.price",)

    def up(self):
        self.add_column("products", Column("cents", Integer))
        self.backfill("products", "cents", lambda price: round(float(price) * 100))
        self.alter_column("products", "cents", nullable=False)
        self.create_check("products", "ck_products_cents", "cents >= 0")
        self.drop_column("products", "price")

    def down(self):
        self.add_column("products", Column("price", String(20)))
        self.backfill("products", "price", lambda cents: f"{cents / 100:.2f}")
        self.alter_column("products", "price", nullable=False)
        self.drop_column("products", "cents", cascade=True)
