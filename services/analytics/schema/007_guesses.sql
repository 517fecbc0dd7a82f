-- Attempts that the ledger booked by guess (outcome `reconciled`): their figures may still come.
CREATE TABLE IF NOT EXISTS guesses
(
    `id` String,
    `org` LowCardinality(String),
    `at` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (id, org, at)
TTL toDateTime(at) + INTERVAL 100 DAY
