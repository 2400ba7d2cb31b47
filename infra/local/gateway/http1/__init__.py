"""HTTP/1.1 of the gateway: clients on one side, replicas on the other, bytes unchanged."""
