"""Judges requests as an OAuth 1.0 server does, with oauthlib (PyPI), an implementation that has nothing in common with ours.

stdin: {"app_key", "app_secret", "token", "token_secret", "requests": [{"method", "uri", "headers", "body"}]}
stdout: a JSON list, true where oauthlib accepts the request, else false. A nonce that was seen before is refused.
"""

import json
import sys

from oauthlib.oauth1 import RequestValidator, ResourceEndpoint


class Account(RequestValidator):
    enforce_ssl = False  # a loopback server
    client_key_length = access_token_length = nonce_length = (1, 200)

    def __init__(self, keys):
        super().__init__()
        self.keys, self.seen = keys, set()

    dummy_client = dummy_access_token = "nobody"

    # LivePerson's keys are hexadecimal; ours are chosen to be awkward.
    safe_characters = property(lambda self: set(map(chr, range(33, 127))))
    allowed_signature_methods = property(lambda self: ["HMAC-SHA1"])

    def validate_client_key(self, client_key, request):
        return client_key == self.keys["app_key"]

    def validate_access_token(self, client_key, token, request):
        return token == self.keys["token"]

    def validate_timestamp_and_nonce(self, client_key, timestamp, nonce, request, request_token=None, access_token=None):
        fresh = nonce not in self.seen
        self.seen.add(nonce)
        return fresh

    def validate_realms(self, client_key, token, request, uri=None, realms=None):
        return True

    def get_client_secret(self, client_key, request):
        return self.keys["app_secret"]

    def get_access_token_secret(self, client_key, token, request):
        return self.keys["token_secret"]


given = json.load(sys.stdin)
endpoint = ResourceEndpoint(Account(given))
verdicts = []
for asked in given["requests"]:
    valid, _ = endpoint.validate_protected_resource_request(
        asked["uri"], http_method=asked["method"], body=asked["body"], headers=asked["headers"]
    )
    verdicts.append(valid)
json.dump(verdicts, sys.stdout)
