"""`python -m cli` is `vhdx`."""

import sys

try:
    from cli.main import main
except KeyboardInterrupt:
    sys.exit(130)

main()
