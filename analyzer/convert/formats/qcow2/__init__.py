"""qcow2: layout, writer and read-back."""
