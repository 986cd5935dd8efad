"""What lies inside the disk: partition tables and file systems, and the files of these."""
