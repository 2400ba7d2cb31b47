"""OpenFaaS: the gateway, the annotations of functions, and scaling."""
