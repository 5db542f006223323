CREATE TABLE default.metrics
(
    `project_id` LowCardinality(String) CODEC(ZSTD(1)),
    `run_id` UUID CODEC(ZSTD(1)),
    `key` LowCardinality(String) CODEC(ZSTD(1)),
    `step` Int64 CODEC(DoubleDelta, ZSTD(1)),
    `timestamp_ms` Int64 CODEC(Delta(8), ZSTD(1)),
    `value` Float64 CODEC(Gorilla(8), ZSTD(1)),
    `attempt` UInt32 CODEC(ZSTD(1)),
    `value_order` UInt64 MATERIALIZED if(bitTest(reinterpretAsUInt64(value), 63), bitNot(reinterpretAsUInt64(value)), bitOr(reinterpretAsUInt64(value), 9223372036854775808)) CODEC(ZSTD(1)),
    `timestamp` DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp_ms, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY if((timestamp_ms >= 1420070400000) AND (timestamp_ms < 2524608000000), toYYYYMM(fromUnixTimestamp64Milli(timestamp_ms, 'UTC')), 0)
ORDER BY (project_id, run_id, key, step, timestamp_ms, value_order)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480, index_granularity = 8192;

CREATE TABLE default.schema_migrations
(
    `number` UInt32,
    `name` String,
    `checksum` String,
    `applied_at` DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (number, checksum)
SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;
