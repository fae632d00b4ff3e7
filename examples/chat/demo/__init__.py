"""The demo site: its settings and its URLs. The chat itself is the app `chat`."""
