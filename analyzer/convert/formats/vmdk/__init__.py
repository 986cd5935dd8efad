"""VMDK (streamOptimized): layout and writer."""
