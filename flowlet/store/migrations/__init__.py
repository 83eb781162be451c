"""Migrations: the steps that make the tables, what a database has of them, and how the rest is made."""

from flowlet.store.migrations.steps import MIGRATIONS, Migration
from flowlet.store.migrations.upgrade import check_schema, upgrade_schema

__all__ = ["MIGRATIONS", "Migration", "check_schema", "upgrade_schema"]
