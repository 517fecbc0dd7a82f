"""What the gateway puts in a value's place. It is never found as a value itself, so that
masking twice is masking once. The form is the gateway's: services/gateway/masking."""

import re

PLACEHOLDER = re.compile(r"PII_[A-Z][A-Z0-9_]{1,30}_[0-9A-HJKMNP-TV-Z]{10}(?![0-9A-Z])")
