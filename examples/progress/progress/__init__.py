"""A harbour's register: a file is imported by a task, and every window shows how far it is."""
