"""The NBD protocol, both sides: wire structures, bytes in, record out; and a small client."""
