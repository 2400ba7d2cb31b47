"""The OpenFaaS gateway: functions, their annotations, and their replicas."""
