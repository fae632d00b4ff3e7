"""What the tests of a project, and of a new layer, are written with."""
