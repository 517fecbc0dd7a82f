-- Sums per hour, computed anew from the deduplicated rows whenever one of them arrives.
CREATE TABLE IF NOT EXISTS usage_hourly
(
    `hour` DateTime('UTC'),
    `org` LowCardinality(String),
    `team` LowCardinality(String),
    `user` LowCardinality(String),
    `key_id` LowCardinality(String),
    `run` String,
    `agent` String,
    `provider` LowCardinality(String),
    `asked` LowCardinality(String),
    `model` LowCardinality(String),
    `reason` LowCardinality(String),
    `key_name` LowCardinality(String),
    `requests` Int64,
    `attempts` Int64,
    `errors` Int64,
    `refused` Int64,
    `cached` Int64,
    `unpriced` Int64,
    `simulated` Int64,
    `pii` Int64,
    `input` Int64,
    `cache_read` Int64,
    `cache_write_5m` Int64,
    `cache_write_1h` Int64,
    `output` Int64,
    `reasoning` Int64,
    `web_searches` Int64,
    `cost` Int64,
    `list_cost` Int64,
    `baseline_cost` Int64,
    `saved` Int64,
    `version` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (org, hour, key_id, model, provider, asked, team, user, reason, run, agent)
