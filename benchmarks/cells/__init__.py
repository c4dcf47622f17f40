"""What a process of its own measures: see `cell`."""
