"""What `manage.py runserver` runs. Django's command does all the rest: checks, the banner, its words for an error.

- `interface`: the server that holds the browsers, and the hub beside it if there is one.
- `parent` and `child`: with autoreload. The parent holds the interface and never loads new code; the child has the
  workers and starts again when the code changes. `orders` is what
  it is told, `lifeline` is how it ends with its parent, `changes` is for a child that cannot start.
- `whole`: server and workers in one process.
- `beside`: what runs with the workers in either.
"""
