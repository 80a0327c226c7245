from sqlmig import BaseMigration


class Tasks(BaseMigration):
    version = 1
    description = "Tasks"

    def up(self):
        self.execute_sql("CREATE TABLE tasks (id INTEGER NOT NULL PRIMARY KEY, title VARCHAR(100) NOT NULL)")

    def down(self):
        self.drop_table("tasks")
