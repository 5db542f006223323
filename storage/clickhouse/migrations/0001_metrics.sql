-- Points of every series. A series is a set of points: value_order makes equal points equal rows,
-- which merges collapse. It orders values as numbers do: the bits of a double, with the sign bit
-- turned, all bits of a negative one; NaN comes last.
-- Months outside 2015–2049 share one partition, so that a wrong clock cannot make thousands.
-- The syncs are for the write-ahead log: it forgets a block once its insert has returned.
CREATE TABLE IF NOT EXISTS metrics (
  project_id LowCardinality(String) CODEC(ZSTD(1)),
  run_id UUID CODEC(ZSTD(1)),
  key LowCardinality(String) CODEC(ZSTD(1)),
  step Int64 CODEC(DoubleDelta, ZSTD(1)),
  timestamp_ms Int64 CODEC(Delta, ZSTD(1)),
  value Float64 CODEC(Gorilla, ZSTD(1)),
  attempt UInt32 CODEC(ZSTD(1)),
  value_order UInt64 MATERIALIZED if(
    bitTest(reinterpretAsUInt64(value), 63),
    bitNot(reinterpretAsUInt64(value)),
    bitOr(reinterpretAsUInt64(value), 9223372036854775808)
  ) CODEC(ZSTD(1)),
  timestamp DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp_ms, 'UTC')
) ENGINE = ReplacingMergeTree
PARTITION BY if(
  timestamp_ms >= 1420070400000 AND timestamp_ms < 2524608000000,
  toYYYYMM(fromUnixTimestamp64Milli(timestamp_ms, 'UTC')),
  0
)
ORDER BY (project_id, run_id, key, step, timestamp_ms, value_order)
SETTINGS
  non_replicated_deduplication_window = 10000,
  fsync_after_insert = 1,
  fsync_part_directory = 1,
  min_rows_to_fsync_after_merge = 1,
  old_parts_lifetime = 480;
