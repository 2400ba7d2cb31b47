"""Work on the database as its owner: migrations, sealing, retention. On any PostgreSQL."""
