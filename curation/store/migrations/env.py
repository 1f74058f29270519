"""What Alembic runs to migrate: over the connection that `curation.store.migrate` hands in, inside its transaction."""

from alembic import context

from curation.store.tables import METADATA, VERSION_TABLE

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, version_table=VERSION_TABLE, transactional_ddl=False)
context.run_migrations()
