"""The pages: profiles are read and written as JSON.

    GET /profiles/ID     200 with the profile, or 404
    PUT /profiles/ID     200 with the profile and its new version; the change is now on all servers
    GET /counts          what this server has counted since it started

A PUT that answers 503 is not acknowledged: `saved` says whether it is in the database all the same,
so that other servers may show it, soon or at once. It may be repeated.
"""

from flask import Flask, request

from patterns.client import CacheAway
from patterns.write_through import NotConfirmed

# In characters.
LONGEST = {"name": 200, "about": 10_000}
LONGEST_ID = 100


def make_app(profiles):
    """The application over a `WriteThrough`."""
    app = Flask(__name__)

    @app.get("/profiles/<id>")
    def read(id):
        row = profiles.read(id) if is_id(id) else None
        return row or ({"error": f"there is no profile {id}"}, 404)

    @app.put("/profiles/<id>")
    def write(id):
        if not is_id(id):
            return {"error": f"an id is 1 to {LONGEST_ID} ASCII letters, digits, '-' or '_'"}, 400
        body = request.get_json(silent=True)
        problem = complaint(body)
        if problem:
            return {"error": problem}, 400
        try:
            return profiles.update(id, body["name"], body["about"])
        except CacheAway as error:
            return unavailable(error, saved=False)
        except NotConfirmed as error:
            return unavailable(error, saved=True)

    @app.get("/counts")
    def counts():
        return profiles.counts.all()

    return app


def is_id(id):
    """Whether it may be the id of a profile; it is then fit for a key of the cache as well."""
    plain = id.isascii() and id.replace("-", "").replace("_", "").isalnum()
    return plain and len(id) <= LONGEST_ID


def complaint(body):
    """What is wrong with the body of a PUT, or None."""
    if not isinstance(body, dict) or body.keys() != LONGEST.keys():
        return f"the body has to be a JSON object with {' and '.join(LONGEST)}, and nothing else"
    for field, most in LONGEST.items():
        text = body[field]
        if not isinstance(text, str) or not text or len(text) > most or "\0" in text:
            return f"{field} has to be text of 1 to {most} characters, without NUL"
    return None


def unavailable(error, saved):
    """The cache cannot be told of a change."""
    return {"error": str(error), "saved": saved}, 503, {"Retry-After": "1"}
