"""One campaign: its models, its wire format, its one POST, and what may be repeated."""
