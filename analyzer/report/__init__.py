"""A report of a chain: what it is, where its bytes come from, what is wrong with it; one page that needs no net."""
