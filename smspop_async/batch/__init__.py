"""Many campaigns: contacts in chunks, submitted side by side, their outcomes merged into one report."""
