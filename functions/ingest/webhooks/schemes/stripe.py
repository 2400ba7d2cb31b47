"""Stripe.

https://docs.stripe.com/webhooks/signature: the key is the endpoint's signing secret as it is shown,
`whsec_` included. While a secret is rolled, the header has a signature for each.
"""

from ..scheme import Scheme

SCHEME = Scheme(
    header="Stripe-Signature",
    separator=",",
    prefix="v1=",
    time_prefix="t=",
    signed="{timestamp}.{body}",
)
