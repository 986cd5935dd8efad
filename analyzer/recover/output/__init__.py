"""What recovery writes: image, map, account, and how an interrupted run is resumed."""
