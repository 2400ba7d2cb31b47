"""Dead letters: publishing, reading, replaying and removing them."""
