"""The ways from nothing to the first batch, as the README has them."""
