"""The bench as a Channels 4 project."""
