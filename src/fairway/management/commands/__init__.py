"""The commands: options in, and a call of the room that does the work."""
