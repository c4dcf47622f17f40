"""Asyncio-first SDK for the SMSPop bulk-SMS API (placeholder until the public names are wired)."""
