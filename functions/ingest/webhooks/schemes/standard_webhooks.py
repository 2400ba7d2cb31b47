"""Standard Webhooks, which Svix and many other senders follow.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from ..scheme import Scheme

SCHEME = Scheme(
    header="Webhook-Signature",
    separator=" ",
    prefix="v1,",
    encoding="base64",
    signed="{id}.{timestamp}.{body}",
    time_header="Webhook-Timestamp",
    id_header="Webhook-Id",
    key_prefix="whsec_",
    key_encoding="base64",
)
