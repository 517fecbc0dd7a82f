-- Hours whose sums are to be computed anew. `version` is in nanoseconds; the last word wins.
CREATE TABLE IF NOT EXISTS dirty
(
    `org` LowCardinality(String),
    `hour` DateTime('UTC'),
    `version` UInt64,
    `clean` Bool,
    `at` DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (org, hour)
TTL at + INTERVAL 7 DAY WHERE clean
