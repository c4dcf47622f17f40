"""What survives a crash: the plan of a send, the intent to submit each chunk, and what became of it."""
