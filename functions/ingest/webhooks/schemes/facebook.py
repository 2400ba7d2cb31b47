"""Facebook, Instagram, WhatsApp and other products of Meta.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started: the key is the app secret.
Meta signs its JSON with characters beyond ASCII escaped, and sends it so: the bytes that arrive are
what is signed. No time is signed, so a recorded request can be sent again; its events are dropped
as duplicates.
"""

from ..scheme import Scheme

SCHEME = Scheme(
    header="X-Hub-Signature-256",
    prefix="sha256=",
    verifies_subscription=True,
    native_fields=("object", "entry"),
)
