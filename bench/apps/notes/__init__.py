"""A model for the consumers to query, the same for every contender."""
