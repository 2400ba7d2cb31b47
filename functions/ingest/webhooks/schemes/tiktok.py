"""TikTok for Developers.

https://developers.tiktok.com/doc/webhooks-verification: the key is the app's client secret.
"""

from ..scheme import Scheme

SCHEME = Scheme(
    header="TikTok-Signature",
    separator=",",
    prefix="s=",
    time_prefix="t=",
    signed="{timestamp}.{body}",
    native_fields=("client_key", "event", "user_openid"),
)
