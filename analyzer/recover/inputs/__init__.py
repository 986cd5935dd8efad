"""The files that recovery starts from: collected, opened, freed of duplicates, put in order."""
