"""The schema's history, run by Alembic: additive before, cleaning after."""
