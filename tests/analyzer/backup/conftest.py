"""What tests of backups share."""

from tests.analyzer.backup.places import site_of

__all__ = ["site_of"]
