"""What the user hands in: reading, checking and describing a capture."""
