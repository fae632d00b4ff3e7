"""Django's Tasks framework on channels."""
