"""One address for every disk: from text to something of a size that gives runs, however it is kept."""
