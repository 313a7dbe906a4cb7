"""The client of the HTTP service."""
