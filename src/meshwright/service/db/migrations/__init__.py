"""Migrations of the database, in the wheel with the code that needs them."""
