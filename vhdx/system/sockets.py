"""Sockets as the system has them, as numbers: most commands load no `socket`."""

import sys

SENDS_FILES = sys.platform == "linux"
"""Whether the system sends bytes of files by sockets of every kind; macOS' sockets in the file system cannot."""
MORE_FOLLOWS = 0x8000 if SENDS_FILES else 0
"""The flag of bytes behind which others follow at once (MSG_MORE), so that TCP makes one packet of both."""
NO_SIGNAL = 0x4000 if SENDS_FILES else 0
"""The flag that makes a connection that is gone an error (MSG_NOSIGNAL)."""
