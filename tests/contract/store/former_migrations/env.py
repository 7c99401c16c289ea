"""Makes databases of the schemas before 0.2.0, by the migrations as they were then."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
