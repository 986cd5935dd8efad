"""A kind of storage is complete when it is documented, and tried with a server that can fail."""

from analyzer.backup.storage import open as opening
from tests.analyzer.backup.places import KINDS
from tests.support.files import ROOT

ALIASES = {"ssh": "sftp", "ftps": "ftp", "s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}
"""Other spellings, which the same code serves."""
WITHOUT_A_SERVER_HERE = {"gs", "abfs"}
"""They need accounts; the documentation says that they are not tested."""
NAMES = {ALIASES.get(scheme, scheme) for scheme in opening._KINDS}


def test_every_kind_of_storage_is_tried_with_a_server():
    tried = {kind if isinstance(kind, str) else kind.values[0] for kind in KINDS}
    assert tried >= NAMES - WITHOUT_A_SERVER_HERE


def test_every_kind_of_storage_is_documented():
    page = (ROOT / "docs" / "backup-places.md").read_text(encoding="utf-8")
    assert not [name for name in NAMES - {"memory"} if f"{name}://" not in page]
