"""A to-do board that many look at, on Fairway. `models` is where to begin reading, then `handlers`."""
