"""The HTTP view under plain WSGI servers."""
