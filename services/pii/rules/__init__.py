"""The rules, one file per kind of value. Each is a pure function from a text to its hits.

All start at a literal anchor or a first character class, match a bounded stretch, and then ask
a checksum or a validator: no rule looks at entropy alone, and none has an unbounded pattern.
"""
