"""Numbers of distinct users and of users who convert, exact or estimated."""
