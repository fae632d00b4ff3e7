"""An app whose models tell groups of themselves."""
