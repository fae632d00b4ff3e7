"""The demo site: its settings and its URLs. The register itself is the app `progress`."""
