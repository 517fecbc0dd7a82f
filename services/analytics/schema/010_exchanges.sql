-- What was said, masked; empty unless `[audit] bodies` is set.
CREATE TABLE IF NOT EXISTS exchanges
(
    `request_id` String,
    `at` DateTime64(6, 'UTC'),
    `org` LowCardinality(String),
    `team` LowCardinality(String),
    `user` LowCardinality(String),
    `key_id` LowCardinality(String),
    `run` String,
    `request` String CODEC(ZSTD(3)),
    `answer` String CODEC(ZSTD(3)),
    `cut` Bool,
    INDEX by_request request_id TYPE bloom_filter GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (org, at, request_id)
