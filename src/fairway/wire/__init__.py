"""Bytes to events and back, for every protocol a browser speaks. Nothing here knows a socket, a clock or a thread."""
