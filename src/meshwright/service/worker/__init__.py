"""Workers: they claim jobs, run each in a process of its own, and publish what comes of it."""
