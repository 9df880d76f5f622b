"""Methods: each file is one method with one class. Start a new one from `chance.py`."""
