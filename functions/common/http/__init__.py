"""The front door of the functions: what each of them does around its own work.

`front_door` knows no web framework. `asgi` serves a coroutine function with starlette: ingest,
whose concurrent requests share messages in one event loop. `wsgi` serves a function that blocks its
thread with flask: those that work on the database. No module imports both frameworks.
"""
