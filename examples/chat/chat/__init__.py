"""A chat in rooms, on Fairway. `consumers` is where to begin reading."""
