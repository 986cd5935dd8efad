"""The structures of [MS-VHDX], one module each: records, and pure functions from and to bytes."""
