"""Changing a file that exists by the rules of the format: through its log, each step durable before the next."""
