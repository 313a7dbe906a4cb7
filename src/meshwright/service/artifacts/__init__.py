"""Published files on their way out: whole or in ranges, resumable, and never without a check of their bytes."""
