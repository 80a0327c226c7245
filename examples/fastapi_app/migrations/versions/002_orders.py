from sqlmig import BaseMigration


class Orders(BaseMigration):
    version = 2
    description = "Orders of products"

    def up(self):
        self.execute_sql(
            """
            CREATE TABLE orders (
                id INTEGER NOT NULL PRIMARY KEY,
                product_id INTEGER NOT NULL REFERENCES products (id),
                amount INTEGER NOT NULL DEFAULT 1
            )
            """
        )
        self.create_index("ix_orders_product_id", "orders", ["product_id"])

    def down(self):
        self.drop_table("orders")
