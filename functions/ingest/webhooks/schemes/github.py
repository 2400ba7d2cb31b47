"""GitHub; Gitea, Forgejo and others sign in the same way.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from ..scheme import Scheme

SCHEME = Scheme(header="X-Hub-Signature-256", prefix="sha256=")
