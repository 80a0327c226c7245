"""The products that a shop begins with are rows of its schema: the pages refer to them."""

from sqlmig import BaseMigration

PRODUCTS = [("bread", 420), ("milk", 139)]


class Products(BaseMigration):
    version = 1
    description = "Products and their prices"

    def up(self):
        self.execute_sql(
            """
            CREATE TABLE products (
                id INTEGER NOT NULL PRIMARY KEY,
                name VARCHAR(200) NOT NULL UNIQUE,
                price VARCHAR(20) NOT NULL
            )
            """
        )
        self.execute_sql(
            "INSERT INTO products (name, price) VALUES (?, ?)",
            [(name, f"{cents / 100:.2f}") for name, cents in PRODUCTS],
        )

    def down(self):
        self.drop_table("products")
