-- What callers said of a decision, from -1 (bad) to 1 (good); the last word of a key holds.
CREATE TABLE IF NOT EXISTS feedback
(
    `decision_id` String,
    `at` DateTime64(6, 'UTC'),
    `org` LowCardinality(String),
    `team` LowCardinality(String),
    `user` LowCardinality(String),
    `key_id` LowCardinality(String),
    `score` Float64
)
ENGINE = ReplacingMergeTree(at)
PARTITION BY toYYYYMM(at)
ORDER BY (org, decision_id, key_id)
