"""The report of a chain as one HTML page."""
