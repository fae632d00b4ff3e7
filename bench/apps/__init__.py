"""The Django projects of the contenders, and the app they share."""
