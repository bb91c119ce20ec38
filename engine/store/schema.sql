-- Tables of one database (engine/store/schema.py has its version and what leads to it from earlier ones). Prices in paise, quantities in units, times IST. {window}: inserts remembered for deduplication.
CREATE TABLE IF NOT EXISTS {db}.schema_version (
  version UInt32, at DateTime
) ENGINE = MergeTree ORDER BY version;

-- a row a run: its folder's name, when it began and for which trading day, the market it came from. Read with FINAL
CREATE TABLE IF NOT EXISTS {db}.runs (
  run UInt32, name String, began DateTime64(9, 'Asia/Kolkata'), day Date, source LowCardinality(String)
) ENGINE = ReplacingMergeTree ORDER BY run SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.instruments (
  run UInt32, inst UInt32, key LowCardinality(String), symbol LowCardinality(String), kind LowCardinality(String),
  tick Int64, lot Int64, freeze Int64, tradable UInt8, close_minute Int32, cas UInt8, underlying UInt32, strike Int64, option_type Int8,
  expiry Date
) ENGINE = MergeTree ORDER BY (run, inst) SETTINGS non_replicated_deduplication_window = {window};

-- terms of each F&O stock and the days they held: from valid_from to before valid_to. Read with FINAL
CREATE TABLE IF NOT EXISTS {db}.symbols (
  symbol LowCardinality(String), valid_from Date, valid_to Date, key LowCardinality(String), isin LowCardinality(String), name String,
  sector LowCardinality(String), status LowCardinality(String), reason String, lot Int64, tick Int64, freeze Int64, cas UInt8,
  banned Int8, liquidity Float64, near_future LowCardinality(String), near_expiry LowCardinality(String), futures UInt32,
  options UInt32, seen UInt64
) ENGINE = ReplacingMergeTree(seen) ORDER BY (symbol, valid_from) SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.symbol_update_log (
  day Date, symbol LowCardinality(String), what LowCardinality(String), key String, kind LowCardinality(String),
  field LowCardinality(String), was String, now_is String, blocking UInt8
) ENGINE = ReplacingMergeTree ORDER BY (day, symbol, what, key, kind, field)
SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.ticks (
  run UInt32 CODEC(Delta, ZSTD(1)), trade_date Date CODEC(Delta, ZSTD(1)), inst UInt32 CODEC(Delta, ZSTD(1)),
  exch_ts DateTime64(3, 'Asia/Kolkata') CODEC(DoubleDelta, ZSTD(1)),
  recv_ts DateTime64(6, 'Asia/Kolkata') CODEC(GCD, Delta, ZSTD(1)), seq UInt64 CODEC(Delta, ZSTD(1)),
  ltp Int64 CODEC(GCD, DoubleDelta, ZSTD(1)), ltq UInt32 CODEC(T64, ZSTD(1)), vtt UInt64 CODEC(GCD, Delta, ZSTD(1)),
  volume UInt32 CODEC(T64, ZSTD(1)), bid Int64 CODEC(GCD, DoubleDelta, ZSTD(1)), ask Int64 CODEC(GCD, DoubleDelta, ZSTD(1)),
  bid_qty UInt32 CODEC(T64, ZSTD(1)), ask_qty UInt32 CODEC(T64, ZSTD(1)), oi UInt64 CODEC(Delta, ZSTD(1)),
  iv Float32 CODEC(ZSTD(1)), flags UInt16 CODEC(T64, ZSTD(1)),
  INDEX by_receipt recv_ts TYPE minmax GRANULARITY 1
) ENGINE = MergeTree PARTITION BY toYYYYMM(trade_date) ORDER BY (inst, trade_date, exch_ts, seq)
SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.bars_1m (
  run UInt32, inst UInt32, trade_date Date, bar_ts DateTime('Asia/Kolkata'),
  open AggregateFunction(argMin, Int64, Tuple(DateTime64(3, 'Asia/Kolkata'), UInt64)),
  high SimpleAggregateFunction(max, Int64), low SimpleAggregateFunction(min, Int64),
  close AggregateFunction(argMax, Int64, Tuple(DateTime64(3, 'Asia/Kolkata'), UInt64)),
  volume SimpleAggregateFunction(sum, UInt64), turnover SimpleAggregateFunction(sum, UInt64),
  updates SimpleAggregateFunction(sum, UInt64)
) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(trade_date) ORDER BY (run, inst, trade_date, bar_ts)
SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.bars_5m AS {db}.bars_1m
ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(trade_date) ORDER BY (run, inst, trade_date, bar_ts)
SETTINGS non_replicated_deduplication_window = {window};

-- flags: 8 step back, 16 late, 128 outside the session, 256 bad time, 1024 doubted: none of them belongs to a bar (_ext/market/state.pxd)
CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.to_bars_1m TO {db}.bars_1m AS
SELECT run, inst, trade_date, toStartOfMinute(toDateTime(exch_ts, 'Asia/Kolkata')) AS bar_ts,
  argMinState(t.ltp, (t.exch_ts, t.seq)) AS open, max(t.ltp) AS high, min(t.ltp) AS low, argMaxState(t.ltp, (t.exch_ts, t.seq)) AS close,
  sum(toUInt64(t.volume)) AS volume, sum(toUInt64(t.volume) * toUInt64(t.ltp)) AS turnover, count() AS updates
FROM {db}.ticks AS t WHERE bitAnd(flags, 1432) = 0 AND ltp > 0 GROUP BY run, inst, trade_date, bar_ts;

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.to_bars_5m TO {db}.bars_5m AS
SELECT run, inst, trade_date, toStartOfFiveMinutes(toDateTime(exch_ts, 'Asia/Kolkata')) AS bar_ts,
  argMinState(t.ltp, (t.exch_ts, t.seq)) AS open, max(t.ltp) AS high, min(t.ltp) AS low, argMaxState(t.ltp, (t.exch_ts, t.seq)) AS close,
  sum(toUInt64(t.volume)) AS volume, sum(toUInt64(t.volume) * toUInt64(t.ltp)) AS turnover, count() AS updates
FROM {db}.ticks AS t WHERE bitAnd(flags, 1432) = 0 AND ltp > 0 GROUP BY run, inst, trade_date, bar_ts;

-- what was missing from the feed, and what came back. inst 4294967295: the feed as a whole
CREATE TABLE IF NOT EXISTS {db}.gaps (
  run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), inst UInt32, kind LowCardinality(String),
  begin DateTime64(9, 'Asia/Kolkata'), end DateTime64(9, 'Asia/Kolkata'), first_minute DateTime('Asia/Kolkata'),
  last_minute DateTime('Asia/Kolkata'), volume Int64, measured Float64, threshold Float64
) ENGINE = MergeTree ORDER BY (run, ts, seq) SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.signals (
  run UInt32, id UInt64, inst UInt32, ts DateTime64(9, 'Asia/Kolkata'), exch_ts DateTime64(3, 'Asia/Kolkata'),
  direction Int8, level UInt8, price Int64, last_close Int64, bid Int64, ask Int64, strength Float64, z20 Float64,
  z50 Float64, rz Float64, volume_ratio Float64, s1m Float64, expected Float64, score Float32, score_next Float32,
  verdict Enum8('watched' = 0, 'refused' = 1, 'passed' = 2), reason LowCardinality(String), measured Float64,
  threshold Float64, decided DateTime64(9, 'Asia/Kolkata'), tick_seq UInt64, model LowCardinality(String), quality Int32, arm UInt8,
  side Int8, source LowCardinality(String), own Map(LowCardinality(String), Float64),
  {features}
) ENGINE = MergeTree ORDER BY (run, inst, ts, id) SETTINGS non_replicated_deduplication_window = {window};

-- what models that decide nothing said of the same candidates, with the trade updates waited for
CREATE TABLE IF NOT EXISTS {db}.shadow_scores (
  run UInt32, candidate UInt64, ts DateTime64(9, 'Asia/Kolkata'), model LowCardinality(String), score Float32, updates Int32
) ENGINE = MergeTree ORDER BY (run, candidate, model, updates) SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.orders (
  run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), id UInt64, serial UInt64, candidate UInt64, inst UInt32,
  event LowCardinality(String), role LowCardinality(String), side Int8, order_type LowCardinality(String),
  why LowCardinality(String), quantity Int64, price Int64, trigger_price Int64, order_id String, status LowCardinality(String),
  filled Int64, latency_ns Int64, error LowCardinality(String)
) ENGINE = MergeTree ORDER BY (run, ts, seq) SETTINGS non_replicated_deduplication_window = {window};

-- quantity 0: the broker told the average of an order late, charges and realised are what that changed
CREATE TABLE IF NOT EXISTS {db}.trades (
  run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), intent UInt64, candidate UInt64, inst UInt32, side Int8,
  role LowCardinality(String), quantity Int64, price Int64, charges Int64, realised Int64
) ENGINE = MergeTree ORDER BY (run, ts, seq) SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.positions (
  run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), inst UInt32, state LowCardinality(String), quantity Int64,
  average Int64, realised Int64, charges Int64, stop Int64, target Int64
) ENGINE = MergeTree ORDER BY (run, inst, ts, seq) SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.rate_limit_log (
  run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), candidate UInt64, inst UInt32, is_exit UInt8,
  reason LowCardinality(String), measured Float64, threshold Float64, quantity Int64, price Int64, used_second Int32,
  used_minute Int32, used_half_hour Int32, used_hour Int32, used_day Int32
) ENGINE = MergeTree ORDER BY (run, ts, seq) SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.latency (
  run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), frame_seq UInt64, candidate UInt64, decoded_ns Int64,
  scored_ns Int64, decided_ns Int64, done_ns Int64
) ENGINE = MergeTree ORDER BY (run, ts, seq) SETTINGS non_replicated_deduplication_window = {window};

CREATE TABLE IF NOT EXISTS {db}.events (
  run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), kind LowCardinality(String), detail String
) ENGINE = MergeTree ORDER BY (run, ts, seq) SETTINGS non_replicated_deduplication_window = {window};
