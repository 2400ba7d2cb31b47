"""What an outsider may not do: each test names the rule that it protects."""
