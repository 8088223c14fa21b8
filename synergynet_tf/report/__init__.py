"""Tables and figures of runs and scores."""
