"""Django finds its parts here."""
