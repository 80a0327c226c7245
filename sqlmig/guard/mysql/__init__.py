"""The guard's eyes on MariaDB and MySQL, which look before a statement runs: what it commits is not to be undone."""
