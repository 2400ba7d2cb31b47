"""Segment's destination Webhooks.

https://segment.com/docs/connections/destinations/catalog/webhooks/#authentication: SHA-1, because
Segment offers nothing else. With batching turned on Segment signs the first event of a batch only;
such requests are refused, because the other events in them could be anybody's.
"""

from ..scheme import Scheme

SCHEME = Scheme(header="X-Signature", algorithm="sha1")
