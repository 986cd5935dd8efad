"""Where a repository can be: servers, each behind the same few calls as a folder."""
