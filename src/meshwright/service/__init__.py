"""The HTTP service: durable jobs behind an API, embedded by default, distributed by settings."""
