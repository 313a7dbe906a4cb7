"""How the service is: can it serve, does it accept work, what has it done."""
