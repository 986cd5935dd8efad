"""Backups: restore points of disks in a repository, a casync chunk store that other programs restore from too."""
