"""Colours that mean the same on every dashboard, by Grafana's names."""

GREEN = "green"
ORANGE = "orange"
RED = "red"
BLUE = "blue"
PURPLE = "purple"
GREY = "#808080"

UP_DOWN = {1: ("up", GREEN), 0: ("away", RED)}
EVENTS = {
    "accepted": BLUE,
    "received": BLUE,
    "fetched": BLUE,
    "stored": GREEN,
    "done": GREEN,
    "duplicate": PURPLE,
    "rejected": ORANGE,
    "returned": ORANGE,
    "dead": RED,
}
