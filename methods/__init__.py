"""Floor 3: one file is one method, one class. Start a new one from `chance.py`."""
