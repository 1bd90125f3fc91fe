"""The provider simulator: an HTTP server that speaks the three provider dialects.

Latency, token counts and faults are known in advance, so that all of the product runs through
the official SDKs and real HTTP without a key, and so that what the benchmark measures can be
compared with the truth. No Django in here: it is a raw ASGI app.
"""
