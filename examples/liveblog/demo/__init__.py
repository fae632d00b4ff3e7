"""The demo site: its settings and its URLs. The live blog itself is the app `liveblog`."""
