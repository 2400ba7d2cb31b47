"""The HTTP side: running a report for a request, exports, cached responses, OpenAPI, the pages."""
