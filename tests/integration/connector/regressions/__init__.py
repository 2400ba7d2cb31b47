"""What once went wrong and must not again: lost dead letters, silent faults, lost attempts, ..."""
