"""The cache of reports: bounded, and never stale."""

from functions.analytics_query.web.report_cache import ReportCache, cached_report


def test_the_least_recently_used_report_is_evicted() -> None:
    cache = ReportCache(max_bytes=1000)
    for key in ("a", "b", "c"):
        cache.put(key, cached_report(b"x" * 240, "1"))
    assert cache.get("a", "1")
    cache.put("d", cached_report(b"x" * 240, "1"))
    cache.put("e", cached_report(b"x" * 240, "1"))
    assert cache.get("b", "1") is None
    assert cache.get("a", "1")
    assert cache.get("a", "2") is None, "another version of the data"
    cache.put("f", cached_report(b"x" * 400, "1"))
    assert cache.get("f", "1") is None, "larger than a quarter of the cache"
