-- Append only. `hash` covers the row and `prev`, the hash of the row before it.
CREATE TABLE IF NOT EXISTS audit
(
    `seq` UInt64,
    `id` String,
    `at` DateTime64(6, 'UTC'),
    `org` LowCardinality(String),
    `actor` String,
    `action` LowCardinality(String),
    `target` String,
    `detail` String COMMENT 'JSON, keys sorted',
    `moment` String COMMENT 'the time as it was hashed',
    `prev` String,
    `hash` String
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (seq, id)
