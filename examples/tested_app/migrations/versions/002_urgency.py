from sqlalchemy import Boolean, Column, false

from sqlmig import BaseMigration


class Urgency(BaseMigration):
    version = 2
    description = "Tasks are urgent or not; those that said so in their title are"

    def up(self):
        self.add_column("tasks", Column("urgent", Boolean, server_default=false(), nullable=False))
        self.execute_sql("UPDATE tasks SET urgent = TRUE WHERE title LIKE '%!'")

    def down(self):
        self.drop_column("tasks", "urgent")
