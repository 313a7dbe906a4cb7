"""The HTTP side: routes, schemas, errors, who may call."""
