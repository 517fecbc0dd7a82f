"""The web page at /dashboard: a session for browsers, live requests, static files."""
