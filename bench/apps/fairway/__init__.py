"""The bench as a Fairway project."""
