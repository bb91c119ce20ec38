// One trade on its candles, drawn by uPlot: hollow bars rose, full bars fell; entry, exit, stop and target. Page and reports
// use it.
import { atTime, colours, mounted, uPlot, xAxis, yAxis } from './axes.js';

const price = (_, ticks) => ticks.map((tick) => tick.toLocaleString('en-IN', { maximumFractionDigits: 2 }));

/** Candles {t (s), o, h, l, c (paise)}; trade {side, entry, exit, entered_us, exited_us, stop, target} (paise). */
export function tradeCandles(parent, candles, trade) {
  const rupees = (column) => column.map((paise) => paise / 100);
  const data = [candles.t, rupees(candles.o), rupees(candles.h), rupees(candles.l), rupees(candles.c)];
  const prices = (...names) =>
    names
      .map((name) => trade?.[name])
      .filter(Boolean)
      .map((paise) => paise / 100);
  const inside = prices('entry', 'exit'),
    far = prices('stop', 'target');
  const hidden = (label) => ({
    label,
    paths: () => null,
    points: { show: false },
    value: (_, v) => (v == null ? '–' : v.toFixed(2)),
  });
  return mounted(
    parent,
    (w, h, c) => ({
      axes: [xAxis(c), yAxis(c, { values: price, size: 64, side: 1 })],
      scales: {
        y: {
          range: (_, low, high) => {
            let [a, b] = [Math.min(low, ...inside), Math.max(high, ...inside)];
            const most = (b - a) * 1.5; // a far stop or target must not press the candles flat
            for (const level of far) if (level > a - most && level < b + most) [a, b] = [Math.min(a, level), Math.max(b, level)];
            return [a - (b - a) * 0.08, b + (b - a) * 0.08];
          },
        },
      },
      series: [{ label: 'Time', value: atTime }, hidden('Open'), hidden('High'), hidden('Low'), hidden('Close')],
      hooks: { draw: [(u) => draw(u, trade)] },
    }),
    data,
  );
}

function draw(u, trade) {
  const { ctx } = u,
    c = colours(),
    { left, top, width, height } = u.bbox;
  const [t, o, h, l, close] = u.data;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  const step = t.length > 1 ? Math.abs(u.valToPos(t[1], 'x', true) - u.valToPos(t[0], 'x', true)) : 8;
  const body = Math.max(1, Math.min(18, step * 0.64)),
    ratio = uPlot.pxRatio;
  ctx.lineWidth = ratio;
  for (let k = 0; k < t.length; k++) {
    const x = Math.round(u.valToPos(t[k], 'x', true));
    if (x < left - body || x > left + width + body) continue;
    const [yo, yh, yl, yc] = [o[k], h[k], l[k], close[k]].map((v) => u.valToPos(v, 'y', true));
    const rose = close[k] >= o[k];
    ctx.strokeStyle = ctx.fillStyle = rose ? c.up : c.down;
    ctx.beginPath();
    ctx.moveTo(x, yh);
    ctx.lineTo(x, Math.min(yo, yc));
    ctx.moveTo(x, Math.max(yo, yc));
    ctx.lineTo(x, yl);
    ctx.stroke();
    const y = Math.min(yo, yc),
      size = Math.max(ratio, Math.abs(yo - yc));
    if (rose) ctx.strokeRect(x - body / 2, y, body, size);
    else ctx.fillRect(x - body / 2, y, body, size);
  }
  if (trade) marks(u, trade, c, ratio);
  ctx.restore();
}

function marks(u, trade, c, ratio) {
  const { ctx } = u,
    { left, width } = u.bbox;
  const begin = u.valToPos(trade.entered_us / 1e6, 'x', true);
  const end = trade.exited_us ? u.valToPos(trade.exited_us / 1e6, 'x', true) : left + width;
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  for (const [name, paise, colour] of [
    ['stop', trade.stop, c.down],
    ['target', trade.target, c.up],
  ]) {
    if (!paise) continue;
    const { top, height } = u.bbox,
      y = u.valToPos(paise / 100, 'y', true);
    ctx.strokeStyle = ctx.fillStyle = colour;
    if (y < top || y > top + height) {
      // beyond the picture: said at its edge
      ctx.fillText(
        `${y < top ? '↑' : '↓'} ${name} ${(paise / 100).toFixed(2)}`,
        begin + 3 * ratio,
        y < top ? top + 12 * ratio : top + height - 5 * ratio,
      );
      continue;
    }
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(begin, y);
    ctx.lineTo(Math.max(end, begin + 20 * ratio), y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillText(name, begin + 3 * ratio, y - 3 * ratio);
  }
  for (const [name, paise, x, sign] of [
    ['entry', trade.entry, begin, trade.side],
    ['exit', trade.exit, end, -trade.side],
  ]) {
    if (!paise) continue;
    const y = u.valToPos(paise / 100, 'y', true),
      s = 6 * ratio;
    ctx.fillStyle = c.ink;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x - s, y + sign * s * 1.6);
    ctx.lineTo(x + s, y + sign * s * 1.6);
    ctx.closePath();
    ctx.fill();
    ctx.fillText(name, x + s + 3 * ratio, y + sign * s * 1.6 + 4 * ratio);
  }
}
