-- Budgets that passed a threshold.
CREATE TABLE IF NOT EXISTS alerts
(
    `id` String,
    `at` DateTime64(6, 'UTC'),
    `org` LowCardinality(String),
    `budget_id` String,
    `scope` LowCardinality(String),
    `scope_id` String,
    `window` LowCardinality(String),
    `mode` LowCardinality(String),
    `limit` Int64,
    `threshold` Float64,
    `spent` Int64,
    `window_start` DateTime64(6, 'UTC'),
    `refused` Bool
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (org, at, id)
