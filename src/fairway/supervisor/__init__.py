"""What runs and keeps Fairway's processes: `serve` and `up`, their children, and how they are asked. No Django."""
