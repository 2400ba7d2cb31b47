"""The OpenFaaS REST API over processes of this machine."""

from infra.local.provider.app import Provider

__all__ = ["Provider"]
