"""The `vhdx` command: arguments, rendering, exit codes."""
