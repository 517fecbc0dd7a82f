-- The router's decisions in full, without any text of the user's.
CREATE TABLE IF NOT EXISTS decisions
(
    `decision_id` String,
    `request_id` String,
    `at` DateTime64(6, 'UTC'),
    `org` LowCardinality(String),
    `team` LowCardinality(String),
    `user` LowCardinality(String),
    `key_id` LowCardinality(String),
    `run` String,
    `asked` LowCardinality(String),
    `model` LowCardinality(String),
    `provider` LowCardinality(String),
    `reason` LowCardinality(String),
    `confidence` Float64,
    `label` LowCardinality(String),
    `routing` LowCardinality(String),
    `baseline` LowCardinality(String),
    `saved` Int64,
    `switch_cost` Int64,
    `moved` Bool,
    `candidates` String COMMENT 'JSON',
    `rejected` String COMMENT 'JSON',
    `features` String COMMENT 'JSON',
    `extra` Map(String, String),
    INDEX by_request request_id TYPE bloom_filter GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (org, at, decision_id)
