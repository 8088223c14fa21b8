"""The terms of eq. 2 and their total."""
