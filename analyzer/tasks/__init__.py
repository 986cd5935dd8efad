"""Many inputs, alike: worked at here, by processes of this machine, or by those of a fleet; answers in their order."""
