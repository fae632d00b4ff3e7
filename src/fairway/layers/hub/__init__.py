"""The hub: the broker of one process, open to the other processes of its host through a Unix socket."""
