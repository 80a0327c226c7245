"""The ALTER that PostgreSQL, MariaDB and MySQL have, with what stands in its way said before it is tried."""
