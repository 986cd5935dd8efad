"""E01 (EWF): layout, segment files, writer and read-back."""
