"""Shopify.

https://shopify.dev/docs/apps/build/webhooks/verify-deliveries: the key is the app's client secret.
"""

from ..scheme import Scheme

SCHEME = Scheme(header="X-Shopify-Hmac-SHA256", encoding="base64")
