"""What is bound to which stream, what each binding does, and what it says of it."""
