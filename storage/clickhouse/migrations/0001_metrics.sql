CREATE TABLE metrics (
  project_id LowCardinality(String) CODEC(ZSTD(1)),
  run_id UUID CODEC(ZSTD(1)),
  key LowCardinality(String) CODEC(ZSTD(1)),
  step Int64 CODEC(DoubleDelta, ZSTD(1)),
  timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  value Float64 CODEC(Gorilla, ZSTD(1)),
  attempt UInt32 CODEC(ZSTD(1)),
  value_bits UInt64 MATERIALIZED reinterpretAsUInt64(value) CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (project_id, run_id, key, step, timestamp, value_bits)
SETTINGS non_replicated_deduplication_window = 10000;
