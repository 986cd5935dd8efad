"""The commands, one module each. A command parses, calls, renders."""
