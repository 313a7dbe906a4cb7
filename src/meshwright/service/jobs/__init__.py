"""Jobs: what one is, what it may become, and the one module that writes it down."""
