"""A hub that is joined with others through an upstream: another layer, which all of them reach.

The hub's broker (`fairway.broker.joined`) decides what leaves; these rooms are its shell, on the hub's event loop. They
know the upstream by the contract of `layers.base` alone.
"""
