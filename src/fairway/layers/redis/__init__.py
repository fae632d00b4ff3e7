"""The layer of many hosts: channels, groups and sessions in Redis. `docs/transport.md` is the standard.

Redis holds the broker, cut into **shards** whose keys share a hash tag. Each owner of connections has a shard: its
inbox, and its own partition of the channels that its connections' messages stand in, so that a commit and what it sends
to those connections are one script. Application channels and the directory of groups live in shards of their own. What
a commit sends to other shards is published first, under ids by which a repeat is dropped.

Bottom up: `lua/` the broker's commands; `scripts` makes scripts of them; `shards` says what lives where; `entries`
turns stream entries into items and deliveries; `commands` describes calls of scripts; `operations` and `overview` are
the verbs that take several of those, as generators without I/O. `address` and `nodes` reach Redis. `link` holds the
connections of a time, and `line` carries commands and reads what comes, for `sessions`, `reader` and `layer`, which
workers use; `inbox` does so on an event loop, for servers.
"""
