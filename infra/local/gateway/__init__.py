"""The gateway: the OpenFaaS REST API over processes of this machine, in one HTTP server."""
