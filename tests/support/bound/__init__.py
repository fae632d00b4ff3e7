"""A Django app with models of many kinds, to be bound in tests. It has no migrations: tables come from the models."""
