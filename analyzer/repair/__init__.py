"""Fix a file: a plan of exact bytes with its reasons, its application, and the way back."""
