-- Questions an analyst asks first. Each stands between its name and the next; tests/store/test_queries.py runs them all.
-- Prices are paise: divide by 100 for rupees. Run one with: python -m engine query "..."
-- All runs of a data home share the tables. {run:UInt32} is the run of --run-dir, by default the latest; without it a question is
-- about every run.

-- name: the runs whose rows are here, and how much they saw
SELECT r.name, r.day, r.source, r.began, count() AS updates, uniqExact(t.inst) AS instruments
FROM ticks AS t INNER JOIN (SELECT * FROM runs FINAL) AS r ON r.run = t.run GROUP BY r.name, r.day, r.source, r.began ORDER BY r.began;

-- name: candidates by verdict and reason
SELECT verdict, reason, count() AS n, round(avg(strength), 3) AS strength FROM signals WHERE run = {run:UInt32} GROUP BY verdict, reason ORDER BY n DESC;

-- name: candidates by hour
SELECT toHour(exch_ts) AS hour, count() AS candidates, countIf(level = 1) AS signals, countIf(verdict = 'passed') AS passed
FROM signals WHERE run = {run:UInt32} GROUP BY hour ORDER BY hour;

-- name: what the noise filter refused, and how sure it was
SELECT s.symbol, g.ts, g.strength, g.score, g.score_next, g.f_mid_over_ltp, g.f_spread_ratio
FROM signals AS g INNER JOIN instruments AS s ON s.run = g.run AND s.inst = g.inst WHERE g.reason = 'noise' ORDER BY g.ts;

-- name: where the price was five minutes after each passed candidate, bp in its direction
SELECT s.symbol, g.ts, g.direction * (toFloat64(b.close) / toFloat64(g.price) - 1) * 10000 AS after_bp
FROM signals AS g
INNER JOIN instruments AS s ON s.run = g.run AND s.inst = g.inst
INNER JOIN bars_1m AS b
  ON b.run = g.run AND b.inst = g.inst AND b.bar_ts = toStartOfMinute(toDateTime(g.exch_ts, 'Asia/Kolkata')) + INTERVAL 5 MINUTE
WHERE g.verdict = 'passed' ORDER BY g.ts;

-- name: one minute bars of the busiest name
SELECT symbol, bar_ts, open_rs, high_rs, low_rs, close_rs, volume
FROM bars_1m WHERE run = {run:UInt32}
  AND inst = (SELECT inst FROM ticks WHERE run = {run:UInt32} GROUP BY inst ORDER BY count() DESC LIMIT 1) ORDER BY bar_ts;

-- name: five minute volume weighted average price of each name
SELECT symbol, bar_ts, round(turnover_rs / volume, 2) AS vwap
FROM bars_5m WHERE run = {run:UInt32} AND volume > 0 ORDER BY symbol, bar_ts;

-- name: updates, repeats and gaps of each name
SELECT s.symbol, count() AS updates, countIf(bitTest(t.flags, 5)) AS repeats, countIf(bitTest(t.flags, 2)) AS after_gaps,
  countIf(bitTest(t.flags, 4)) AS late, countIf(bitTest(t.flags, 3)) AS steps_back
FROM ticks AS t INNER JOIN instruments AS s ON s.run = t.run AND s.inst = t.inst GROUP BY s.symbol ORDER BY updates DESC;

-- name: spread of each name in basis points
SELECT s.symbol, quantileExact(0.5)(2e4 * (t.ask - t.bid) / (t.ask + t.bid)) AS median_bp,
  quantileExact(0.99)(2e4 * (t.ask - t.bid) / (t.ask + t.bid)) AS p99_bp
FROM ticks AS t INNER JOIN instruments AS s ON s.run = t.run AND s.inst = t.inst WHERE t.bid > 0 AND t.ask > t.bid
GROUP BY s.symbol ORDER BY median_bp;

-- name: every order with what became of it
SELECT id, anyIf(event, event = 'place') AS placed, minIf(ts, event = 'place') AS at, anyIf(role, event = 'place') AS role,
  anyIf(why, event = 'place') AS why, countIf(event = 'modify') AS modifies, argMaxIf(status, seq, event IN ('update', 'look-up')) AS status,
  max(filled) AS filled
FROM orders WHERE run = {run:UInt32} GROUP BY id ORDER BY id;

-- name: profit and loss of each name, rupees
SELECT s.symbol, sum(t.realised) / 100 AS realised, sum(t.charges) / 100 AS charges, (sum(t.realised) - sum(t.charges)) / 100 AS net,
  countIf(t.quantity > 0) AS fills
FROM trades AS t INNER JOIN instruments AS s ON s.run = t.run AND s.inst = t.inst GROUP BY s.symbol ORDER BY net;

-- name: how long positions lasted and why they ended
-- a resting stop is placed (protect) and follows (trail): filled, it was the stop. A new price or quantity is no reason of its own
SELECT t.candidate, any(s.symbol) AS symbol,
  dateDiff('second', minIf(t.ts, t.role = 'entry'), maxIf(t.ts, t.role = 'exit' AND t.quantity > 0)) AS seconds,
  any(multiIf(o.last IN ('protect', 'trail'), 'stop', o.last)) AS ended_by, sum(t.realised) / 100 AS realised_rs
FROM trades AS t
INNER JOIN (SELECT run, candidate, argMax(why, seq) AS last FROM orders
  WHERE role = 'exit' AND why NOT IN ('', 're-price', 'grow', 'shrink') GROUP BY run, candidate) AS o
  ON o.run = t.run AND o.candidate = t.candidate
INNER JOIN instruments AS s ON s.run = t.run AND s.inst = t.inst
WHERE t.run = {run:UInt32} GROUP BY t.candidate HAVING countIf(t.role = 'exit') > 0 ORDER BY t.candidate;

-- name: what the gate said, with the budgets used
SELECT reason, is_exit, count() AS n, max(used_second) AS second, max(used_minute) AS minute, max(used_half_hour) AS half_hour
FROM rate_limit_log WHERE run = {run:UInt32} GROUP BY reason, is_exit ORDER BY n DESC;

-- name: stages of the path for candidates, microseconds
SELECT count() AS n, quantile(0.5)(decoded_ns) / 1000 AS decoded, quantile(0.5)(scored_ns) / 1000 AS scored,
  quantile(0.5)(done_ns) / 1000 AS done, quantile(0.99)(done_ns) / 1000 AS done_p99
FROM latency WHERE run = {run:UInt32};

-- name: delivery lag by hour, milliseconds
SELECT toHour(recv_ts) AS hour, quantile(0.5)(lag) AS p50, quantile(0.95)(lag) AS p95, max(lag) AS worst
FROM (SELECT recv_ts, dateDiff('millisecond', exch_ts, recv_ts) AS lag FROM ticks
  WHERE run = {run:UInt32} AND bitTest(flags, 0)) GROUP BY hour ORDER BY hour;

-- name: what was missing from the feed, by kind
SELECT kind, count() AS n, round(max(dateDiff('millisecond', begin, end)) / 1000, 1) AS longest_s, sum(volume) AS volume
FROM gaps WHERE run = {run:UInt32} GROUP BY kind ORDER BY n DESC;

-- name: terms of each F&O stock today, as the universe has them
SELECT symbol, lot, tick / 100 AS tick, freeze, near_expiry, sector, status, valid_from, liquidity
FROM symbols FINAL WHERE valid_to > today() ORDER BY symbol;

-- name: what changed in the universe
SELECT day, symbol, what, kind, field, was, now_is, blocking FROM symbol_update_log FINAL ORDER BY day DESC, symbol, key;

-- name: put/call ratio of open interest of each underlying
SELECT u.symbol, sumIf(o.oi, i.option_type = -1) / nullIf(sumIf(o.oi, i.option_type = 1), 0) AS put_call, count() AS contracts
FROM (SELECT run, inst, argMax(oi, (exch_ts, seq)) AS oi FROM ticks WHERE run = {run:UInt32} GROUP BY run, inst) AS o
INNER JOIN instruments AS i ON i.run = o.run AND i.inst = o.inst INNER JOIN instruments AS u
  ON u.run = i.run AND u.inst = i.underlying
WHERE i.option_type != 0 GROUP BY u.symbol ORDER BY u.symbol;

-- name: what the two arms of a comparison did
SELECT arm, model, count() AS candidates, countIf(verdict = 'passed') AS passed, round(avg(score), 3) AS score
FROM signals WHERE level = 1 GROUP BY arm, model ORDER BY arm, model;

-- name: where a shadow would have decided otherwise
SELECT s.id, s.ts, i.symbol, s.score, h.model, h.score AS shadow_score, s.reason
FROM signals AS s INNER JOIN shadow_scores AS h ON h.run = s.run AND h.candidate = s.id
INNER JOIN instruments AS i ON i.run = s.run AND i.inst = s.inst
WHERE h.updates = 0 AND (s.score >= 0.3) != (h.score >= 0.3) ORDER BY s.ts;

-- Of backtests that were stored (docs/backtest.md). Several over the same days count a day several times: choose by `backtest`.

-- name: backtests side by side, with the interval of their result
SELECT b.backtest, b.name, b.sources, b.first_day, b.last_day, b.trades, round(b.win_rate, 3) AS win_rate, b.net_rs, f.low AS net_low,
  f.high AS net_high, b.max_drawdown
FROM (SELECT * FROM backtests FINAL) AS b
LEFT JOIN (SELECT * FROM backtest_figures FINAL WHERE grouped = 'all' AND figure = 'net_rs') AS f ON f.backtest = b.backtest
ORDER BY b.made DESC;

-- name: win rate by source and hour over all backtests
SELECT source, toHour(entry_time) AS hour, uniqExact(backtest) AS backtests, count() AS trades, round(avg(net_rs > 0), 3) AS win_rate,
  round(avg(1e4 * net_rs / (quantity * entry_price_rs)), 1) AS average_bp
FROM backtest_trades FINAL WHERE exit_time IS NOT NULL GROUP BY source, hour ORDER BY source, hour;

-- name: the account day by day, and how far below its best
SELECT backtest, day, worth_rs, round(1 - worth_rs / max(worth_rs) OVER (PARTITION BY backtest ORDER BY day), 5) AS below_best
FROM (SELECT d.backtest AS backtest, d.day AS day,
    b.account_rs + sum(d.net_rs) OVER (PARTITION BY d.backtest ORDER BY d.day) AS worth_rs
  FROM (SELECT * FROM backtest_days FINAL) AS d INNER JOIN (SELECT * FROM backtests FINAL) AS b ON b.backtest = d.backtest)
ORDER BY backtest, day;

-- name: groups of trades that earned or lost beyond doubt
SELECT f.backtest, f.grouped, f.word, round(f.amount, 1) AS average_bp, round(f.low, 1) AS low, round(f.high, 1) AS high
FROM backtest_figures AS f FINAL WHERE f.figure = 'average_bp' AND (f.low > 0 OR f.high < 0) ORDER BY f.grouped, f.amount;

-- name: what two backtests of the same days did otherwise
SELECT day, symbol, candidate, groupArray(backtest) AS traded_by, groupArray(reason) AS reasons, groupArray(net_rs) AS net
FROM (SELECT * FROM backtest_trades FINAL ORDER BY backtest) GROUP BY day, symbol, candidate
HAVING uniqExact(net_rs) > 1 OR count() < (SELECT uniqExact(backtest) FROM backtest_trades) ORDER BY day, candidate;
