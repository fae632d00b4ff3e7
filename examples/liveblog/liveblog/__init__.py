"""A live blog on Fairway. `bindings` is where to begin reading, then `consumers`."""
