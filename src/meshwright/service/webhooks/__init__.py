"""Webhooks: where they may go, how they are signed, and how they are delivered in the end."""
