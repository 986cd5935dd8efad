"""Disks of VHD version 1, Hyper-V's format before VHDX: fixed, dynamic, and chains of differencing files."""
