"""What Alembic runs first: it migrates on the connection that `migrate` gives it, inside that transaction."""

from alembic import context

from earwitness.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
