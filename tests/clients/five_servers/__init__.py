"""A small web application with profiles, of which several servers share one database and one cache.

    python -m five_servers --help

`app.py` has the pages, `__main__.py` the server. How database and cache are kept together stands in
`patterns/write_through.py`.
"""
