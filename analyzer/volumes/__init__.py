"""What stands at the front of disks and volumes: partition tables, boot sectors, superblocks.

Pure: bytes in, record out. Nothing here opens or seeks; what needs to look further is handed a function that reads.
"""
