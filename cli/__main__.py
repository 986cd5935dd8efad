"""`python -m cli` is `vhdx`."""

from cli.main import main

main()
