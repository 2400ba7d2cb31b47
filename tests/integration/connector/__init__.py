"""The connector against real NATS servers.

`basics` is what it does, `regressions` what once went wrong, `features` what functions can ask for,
and `strangers` how somebody begins who has nothing else of this project.
"""
