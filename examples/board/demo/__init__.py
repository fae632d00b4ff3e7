"""The demo site: its settings and its URLs. The board itself is the app `board`."""
