"""The routes of the gateway's REST API, one file each."""
