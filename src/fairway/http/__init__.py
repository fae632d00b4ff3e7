"""Django's own handler behind `http.request`: URLconf, middleware, sessions and views work as behind any server.

`request.AsgiRequest` makes a Django request from a message, `handler.AsgiHandler` runs Django on it and yields the
response as messages, `consumers.ViewConsumer` is the consumer that sends them. Everything runs in the worker's thread.
"""
