"""Images that other programs use: for each format its layout, what writes it and what reads it back."""
