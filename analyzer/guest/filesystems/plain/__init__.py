"""Volumes that are as they should be, read in this process and without a library: most are, and most of their files.

Nothing is guessed here. What is packed, torn, lost or only unusual is left to the process that reads file systems, file
by file or folder by folder; what is given is what that one would say.
"""
