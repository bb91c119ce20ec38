-- Tables of one database (engine/store/schema.py has its version and what leads to it from earlier ones). Prices in paise,
-- quantities in units, times IST. {window}: inserts remembered for deduplication. Of ticks, flags 8 step back, 16 late, 128 outside
-- the session, 256 bad time, 1024 doubted and 4096 without a trade of its own belong to no bar.
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

-- a row a minute of each name, and another of a later version where it was entered anew. Read with FINAL, or through the views
-- bars_1m and bars_5m. flags: 1 dirty (a gap touches it), 8 from candles, 32 the engine stopped within it (_ext/market/state.pxd)
CREATE TABLE IF NOT EXISTS {db}.bars (
  run UInt32, trade_date Date, inst UInt32, tf UInt16, bar_ts DateTime64(0, 'Asia/Kolkata'), open Int64, high Int64, low Int64,
  close Int64, volume UInt64, turnover UInt64, updates UInt32, flags UInt16, version UInt64, closed DateTime64(6, 'Asia/Kolkata')
) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(trade_date) ORDER BY (run, inst, tf, bar_ts)
SETTINGS non_replicated_deduplication_window = {window};

-- what was missing from the feed, and what came back. inst 4294967295: the feed as a whole. No minute: none was touched
CREATE TABLE IF NOT EXISTS {db}.gaps (
  run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), inst UInt32, kind LowCardinality(String),
  begin DateTime64(9, 'Asia/Kolkata'), end DateTime64(9, 'Asia/Kolkata'), first_minute Nullable(DateTime64(0, 'Asia/Kolkata')),
  last_minute Nullable(DateTime64(0, 'Asia/Kolkata')), volume Int64, measured Float64, threshold Float64
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

-- backtests that were stored (docs/backtest.md), one row each. The others below hang on it by `backtest`. Money in rupees here, as
-- in backtest.json and trades.parquet, and times are India's. The row is written last: without it the rest is not counted
CREATE TABLE IF NOT EXISTS {db}.backtests (
  backtest String COMMENT 'hash of what was asked and what came of it: the same backtest has the same one',
  name String COMMENT 'its folder when it was stored',
  made DateTime64(3, 'Asia/Kolkata') COMMENT 'when it ended',
  kept DateTime64(3, 'Asia/Kolkata') COMMENT 'when it came into this table',
  data String COMMENT 'what --data named',
  content String COMMENT 'JSON: day -> sha256 of its rows, empty for one made before that was said',
  first_day Date, last_day Date, days UInt32, updates UInt64 COMMENT 'rows of the data that were played',
  sources String COMMENT 'names of the sources and strategies, by commas',
  options String COMMENT 'JSON: what the command was asked, by field',
  settings String COMMENT 'JSON: sources with parameters and hashes of their files, rules and limits as the core was told',
  counts String COMMENT 'JSON: candidates, and by which reason rules and gate refused them',
  notes String COMMENT 'what was to be said of the data, a line each',
  layout String COMMENT 'hash of the record layout of the engine that made it',
  account_rs Float64 COMMENT 'at the beginning',
  trades UInt32 COMMENT 'closed ones', open UInt32 COMMENT 'positions still held at the end',
  gross_rs Float64, charges_rs Float64, net_rs Float64,
  total_return Float64 COMMENT 'net over account', win_rate Nullable(Float64) COMMENT 'share of trades that earned after costs',
  profit_factor Nullable(Float64) COMMENT 'rupees won per rupee lost', average_bp Nullable(Float64) COMMENT 'net of a trade',
  sharpe Nullable(Float64) COMMENT 'of daily returns, a year', sortino Nullable(Float64),
  average_minutes Nullable(Float64) COMMENT 'a trade', exposure Float64 COMMENT 'share of the sessions with a position',
  turnover Float64 COMMENT 'value bought and sold over account',
  ambiguous UInt32 COMMENT 'trades whose last bar holds stop and target both',
  max_drawdown Float64 COMMENT 'share of the best result', drawdown_from Nullable(Date), drawdown_to Nullable(Date)
) ENGINE = ReplacingMergeTree(kept) ORDER BY backtest;

CREATE TABLE IF NOT EXISTS {db}.backtest_days (
  backtest String, day Date, trades UInt32 COMMENT 'closed ones', net_rs Float64 COMMENT 'after costs'
) ENGINE = ReplacingMergeTree ORDER BY (backtest, day);

CREATE TABLE IF NOT EXISTS {db}.backtest_trades (
  backtest String, trade UInt32 COMMENT 'its row in trades.parquet, from 0', day Date, symbol LowCardinality(String),
  source LowCardinality(String) COMMENT 'the source or strategy that proposed it',
  candidate UInt64 COMMENT 'number for explain, within the day', side Int8 COMMENT '1 long, -1 short', quantity Int64,
  entry_time DateTime64(9, 'Asia/Kolkata') COMMENT 'first fill',
  exit_time Nullable(DateTime64(9, 'Asia/Kolkata')) COMMENT 'last fill, none while it is open',
  entry_price_rs Float64 COMMENT 'mean of its fills', exit_price_rs Float64, gross_rs Float64 COMMENT 'before costs',
  charges_rs Float64, net_rs Float64, reason LowCardinality(String) COMMENT 'of the exit',
  strength Float64, score Nullable(Float64) COMMENT 'of the noise filter, none: not scored',
  stop_rs Nullable(Float64) COMMENT 'in force at the exit', target_rs Nullable(Float64),
  is_ambiguous UInt8 COMMENT 'its last bar holds stop and target both'
) ENGINE = ReplacingMergeTree ORDER BY (backtest, trade);

-- every figure of a backtest as a whole (grouped = all) and of each group of its trades
CREATE TABLE IF NOT EXISTS {db}.backtest_figures (
  backtest String,
  grouped LowCardinality(String) COMMENT 'all, hour, instrument, direction, score, reason, source. bound: the good extreme first',
  word LowCardinality(String) COMMENT 'which hour, which instrument ... Empty for all',
  figure LowCardinality(String) COMMENT 'win_rate, average_bp, net_rs, trades ..',
  amount Nullable(Float64) COMMENT 'none: not defined, as a win rate without trades',
  low Nullable(Float64) COMMENT 'middle 95 % of 2,000 draws of days, none: no interval', high Nullable(Float64)
) ENGINE = ReplacingMergeTree ORDER BY (backtest, grouped, word, figure);

-- views a person reads: the symbol, the time and rupees (_rs) beside ids and paise
CREATE VIEW IF NOT EXISTS {db}.bars_1m AS
SELECT b.run AS run, s.symbol AS symbol, b.bar_ts AS bar_ts, b.open / 100 AS open_rs, b.high / 100 AS high_rs, b.low / 100 AS low_rs,
  b.close / 100 AS close_rs, b.volume AS volume, b.turnover / 100 AS turnover_rs, b.updates AS updates, b.flags AS flags, b.inst AS inst,
  b.trade_date AS trade_date, b.open AS open, b.high AS high, b.low AS low, b.close AS close, b.turnover AS turnover
FROM {db}.bars AS b FINAL LEFT JOIN {db}.instruments AS s ON s.run = b.run AND s.inst = b.inst WHERE b.tf = 1;

CREATE VIEW IF NOT EXISTS {db}.bars_5m AS
SELECT run, any(symbol) AS symbol, bar_ts, open / 100 AS open_rs, high / 100 AS high_rs, low / 100 AS low_rs, close / 100 AS close_rs,
  volume, turnover / 100 AS turnover_rs, updates, flags, inst, trade_date, open, high, low, close, turnover
FROM (SELECT m.run AS run, m.inst AS inst, m.trade_date AS trade_date, any(m.symbol) AS symbol,
    toDateTime64(toStartOfFiveMinutes(m.bar_ts), 0, 'Asia/Kolkata') AS bar_ts, argMin(m.open, m.bar_ts) AS open, max(m.high) AS high,
    min(m.low) AS low, argMax(m.close, m.bar_ts) AS close, sum(m.volume) AS volume, sum(m.turnover) AS turnover,
    sum(m.updates) AS updates, groupBitOr(m.flags) AS flags
  FROM {db}.bars_1m AS m GROUP BY run, inst, trade_date, bar_ts)
GROUP BY run, inst, trade_date, bar_ts, open, high, low, close, volume, turnover, updates, flags;

CREATE VIEW IF NOT EXISTS {db}.trades_view AS
SELECT t.run AS run, toDateTime64(t.ts, 3, 'Asia/Kolkata') AS time, s.symbol AS symbol, if(t.side > 0, 'BUY', 'SELL') AS action,
  t.role AS role, t.quantity AS quantity, t.price / 100 AS price_rs, t.quantity * t.price / 100 AS value_rs, t.charges / 100 AS charges_rs,
  t.realised / 100 AS realised_rs, t.candidate AS candidate, t.intent AS intent, t.inst AS inst, t.seq AS seq, t.side AS side,
  t.price AS price, t.charges AS charges, t.realised AS realised
FROM {db}.trades AS t LEFT JOIN {db}.instruments AS s ON s.run = t.run AND s.inst = t.inst;

CREATE VIEW IF NOT EXISTS {db}.orders_view AS
SELECT o.run AS run, toDateTime64(o.ts, 3, 'Asia/Kolkata') AS time, s.symbol AS symbol, o.event AS event,
  multiIf(p.side > 0, 'BUY', p.side < 0, 'SELL', '') AS action, p.role AS role, o.order_type AS order_type, o.why AS why,
  o.quantity AS quantity, o.price / 100 AS price_rs, o.trigger_price / 100 AS trigger_rs, o.status AS status, o.filled AS filled,
  o.latency_ns / 1000000 AS latency_ms, o.error AS error, o.order_id AS order_id, o.id AS id, p.candidate AS candidate, p.inst AS inst,
  o.seq AS seq, o.price AS price, o.trigger_price AS trigger_price
FROM {db}.orders AS o
LEFT JOIN (SELECT run, id, any(side) AS side, any(role) AS role, any(candidate) AS candidate, any(inst) AS inst FROM {db}.orders
  WHERE event = 'place' GROUP BY run, id) AS p ON p.run = o.run AND p.id = o.id
LEFT JOIN {db}.instruments AS s ON s.run = p.run AND s.inst = p.inst;

CREATE VIEW IF NOT EXISTS {db}.signals_view AS
SELECT g.run AS run, toDateTime64(g.ts, 3, 'Asia/Kolkata') AS time, s.symbol AS symbol, g.source AS source,
  if(g.side > 0, 'BUY', 'SELL') AS action, if(g.direction > 0, 'up', 'down') AS move, g.price / 100 AS price_rs, g.strength AS strength,
  g.volume_ratio AS volume_ratio, g.z20 AS z20, g.z50 AS z50, g.score AS score, g.verdict AS verdict, g.reason AS reason,
  g.measured AS measured, g.threshold AS threshold, g.bid / 100 AS bid_rs, g.ask / 100 AS ask_rs, g.last_close / 100 AS last_close_rs,
  g.decided AS decided, g.model AS model, g.own AS own, g.id AS id, g.inst AS inst, g.level AS level, g.price AS price
FROM {db}.signals AS g LEFT JOIN {db}.instruments AS s ON s.run = g.run AND s.inst = g.inst;

CREATE VIEW IF NOT EXISTS {db}.positions_view AS
SELECT p.run AS run, toDateTime64(p.ts, 3, 'Asia/Kolkata') AS time, s.symbol AS symbol, p.state AS state, p.quantity AS quantity,
  p.average / 100 AS average_rs, p.stop / 100 AS stop_rs, p.target / 100 AS target_rs, p.realised / 100 AS realised_rs,
  p.charges / 100 AS charges_rs, p.inst AS inst, p.seq AS seq, p.average AS average, p.stop AS stop, p.target AS target,
  p.realised AS realised, p.charges AS charges
FROM {db}.positions AS p LEFT JOIN {db}.instruments AS s ON s.run = p.run AND s.inst = p.inst;

CREATE VIEW IF NOT EXISTS {db}.gaps_view AS
SELECT g.run AS run, toDateTime64(g.begin, 3, 'Asia/Kolkata') AS time, toDateTime64(g.end, 3, 'Asia/Kolkata') AS until,
  if(g.inst = 4294967295, 'the feed', s.symbol) AS symbol, g.kind AS kind, g.first_minute AS first_minute, g.last_minute AS last_minute,
  g.volume AS volume, g.measured AS measured, g.threshold AS threshold, g.inst AS inst, g.seq AS seq
FROM {db}.gaps AS g LEFT JOIN {db}.instruments AS s ON s.run = g.run AND s.inst = g.inst;
