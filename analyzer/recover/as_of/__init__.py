"""Earlier states of one file, as far as its log and its block table remember them."""
