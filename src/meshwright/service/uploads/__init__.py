"""Captures on their way in: streamed to disk within limits, ordered, looked at by their headers alone, handed on."""
