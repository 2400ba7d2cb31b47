"""The console command `universe`."""
