"""One page with every figure, table and picture of one or more systems."""
