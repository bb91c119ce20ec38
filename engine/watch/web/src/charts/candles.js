// Live candles on lightweight-charts: what comes in changes neither zoom nor scroll. Prices in paise, times in UTC seconds.
import {
  CandlestickSeries,
  ColorType,
  HistogramSeries,
  LineSeries,
  LineStyle,
  LineType,
  createChart,
  createSeriesMarkers,
} from 'lightweight-charts';
import { colours } from './axes.js';

const IST = 19_800; // added to all times, so that days and hours are India's
const grouped = new Intl.NumberFormat('en-IN', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const two = (n) => String(n).padStart(2, '0');
const hidden = { lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false };

export class CandleChart {
  /** `zoom` is {bars, right} or null; `onZoom` is told of each change by hand; `onMark` of a click on a mark. */
  constructor(parent, { onZoom, onMark, onHover }) {
    this.chart = createChart(parent, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11, fontFamily: 'system-ui, "Segoe UI", Roboto, sans-serif' },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 6, minBarSpacing: 0.6 },
      localization: { priceFormatter: (value) => grouped.format(value), timeFormatter: (t) => stamp(t) },
      crosshair: { mode: 0 },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.22 } },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { priceLineStyle: LineStyle.Dotted });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: 'volume', priceFormat: { type: 'volume' }, ...hidden });
    this.chart.priceScale('volume').applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    const line = (style) =>
      this.chart.addSeries(LineSeries, { lineWidth: 1, lineStyle: style, lineType: LineType.WithSteps, ...hidden });
    this.levels = { stop: line(LineStyle.Dashed), target: line(LineStyle.Dashed), average: line(LineStyle.Solid) };
    this.marks = createSeriesMarkers(this.candles, []);
    this.lines = [];
    this.last = 0;
    this.count = 0;
    this.isOurs = false;
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && !this.isOurs && this.count) onZoom({ bars: range.to - range.from, right: range.to - (this.count - 1) });
    });
    this.chart.subscribeClick((event) => {
      if (event.hoveredObjectId) onMark(event.hoveredObjectId);
    });
    this.chart.subscribeCrosshairMove((event) =>
      onHover(
        event.time
          ? { ...event.seriesData.get(this.candles), time: event.time - IST, volume: event.seriesData.get(this.volume)?.value }
          : null,
      ),
    );
    this.setColours();
  }

  setColours() {
    const c = (this.colours = colours());
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: c.surface }, textColor: c.faint },
      grid: { vertLines: { color: c.line }, horzLines: { color: c.line } },
      rightPriceScale: { borderColor: c.line },
      timeScale: { borderColor: c.line },
    });
    this.candles.applyOptions({
      upColor: c.surface,
      borderUpColor: c.up,
      wickUpColor: c.up,
      downColor: c.down,
      borderDownColor: c.down,
      wickDownColor: c.down,
      priceLineColor: c.faint,
    });
    this.volume.applyOptions({ color: `${c.faint}55` });
    this.levels.stop.applyOptions({ color: c.down });
    this.levels.target.applyOptions({ color: c.up });
    this.levels.average.applyOptions({ color: c.ink });
  }

  /** All bars of one instrument and timeframe (columns of /api/candles, times in seconds). */
  set(columns, tf, tick, zoom) {
    this.tf = tf * 60;
    const step = Math.max(tick, 1) / 100;
    this.candles.applyOptions({ priceFormat: { type: 'custom', minMove: step, formatter: (value) => grouped.format(value) } });
    this.isOurs = true;
    const { t, o, h, l, c, v } = columns;
    this.candles.setData(t.map((at, k) => bar(at, o[k], h[k], l[k], c[k])));
    this.volume.setData(t.map((at, k) => ({ time: at + IST, value: v[k] })));
    this.times = t;
    this.count = t.length;
    this.last = t.at(-1) ?? 0;
    const want = zoom ?? { bars: 120, right: 6 };
    const to = this.count - 1 + want.right;
    if (this.count) this.chart.timeScale().setVisibleLogicalRange({ from: to - want.bars, to });
    setTimeout(() => {
      this.isOurs = false;
    }, 60);
  }

  /** The last bars again, or the next one. */
  update(columns) {
    const { t, o, h, l, c, v } = columns;
    for (let k = 0; k < t.length; k++) {
      if (t[k] < this.last) continue;
      if (t[k] > this.last) {
        this.count++;
        this.times.push(t[k]);
      }
      this.last = t[k];
      this.candles.update(bar(t[k], o[k], h[k], l[k], c[k]));
      this.volume.update({ time: t[k] + IST, value: v[k] });
    }
  }

  _at(us) {
    const s = us / 1e6;
    const start = Math.floor((s + IST) / this.tf) * this.tf - IST;
    if (!this.times?.length || start < this.times[0]) return null;
    return Math.min(start, this.last);
  }

  /** Candidates and fills as marks, the position's levels as lines. `now_us` ends what still stands. */
  setMarks({ candidates, fills, levels }, shown, now_us) {
    const c = this.colours,
      marks = [];
    for (const row of shown.candidates ? candidates : []) {
      const time = this._at(row.t_us);
      if (time === null || (row.verdict === 'watched' && !shown.watched)) continue;
      const isPassed = row.verdict === 'passed',
        isUp = row.side > 0;
      marks.push({
        time: time + IST,
        id: `candidate:${row.id}`,
        size: isPassed ? 1.3 : 0.7,
        position: isUp ? 'belowBar' : 'aboveBar',
        shape: isPassed ? (isUp ? 'arrowUp' : 'arrowDown') : 'circle',
        color: isPassed ? (isUp ? c.up : c.down) : c.faint,
        text: isPassed && row.score != null ? row.score.toFixed(2) : undefined,
      });
    }
    for (const fill of fills) {
      const time = this._at(fill.t_us);
      if (time === null) continue;
      marks.push({
        time: time + IST,
        id: `fill:${fill.candidate}`,
        position: fill.side > 0 ? 'belowBar' : 'aboveBar',
        shape: 'square',
        color: c.ink,
        size: 0.8,
        text: fill.role === 'entry' ? `entry ${fill.quantity}` : `${fill.why || fill.role} ${fill.quantity}`,
      });
    }
    marks.sort((a, b) => a.time - b.time);
    this.marks.setMarkers(marks);
    this._levels(levels, now_us);
  }

  _levels(levels, now_us) {
    for (const [name, series] of Object.entries(this.levels)) {
      const points = new Map();
      for (const level of levels) {
        const from = this._at(level.t_us),
          to = this._at(level.until_us ?? now_us);
        if (from === null || to === null || !level[name]) continue;
        for (const t of this.times) if (t >= from && t <= to) points.set(t, level[name] / 100);
      }
      series.setData(
        points.size ? this.times.map((t) => (points.has(t) ? { time: t + IST, value: points.get(t) } : { time: t + IST })) : [],
      );
    }
    for (const old of this.lines) this.candles.removePriceLine(old);
    const open = levels.find((level) => level.until_us === null && level.quantity);
    this.lines = !open
      ? []
      : [
          ['stop', this.colours.down],
          ['target', this.colours.up],
          ['average', this.colours.ink],
        ]
          .filter(([name]) => open[name])
          .map(([name, color]) =>
            this.candles.createPriceLine({
              price: open[name] / 100,
              color,
              lineWidth: 1,
              lineStyle: LineStyle.Dotted,
              axisLabelVisible: true,
              title: name === 'average' ? `${open.quantity > 0 ? '+' : ''}${open.quantity}` : name,
            }),
          );
  }

  zoom(factor) {
    const scale = this.chart.timeScale(),
      range = scale.getVisibleLogicalRange();
    if (!range) return;
    const size = (range.to - range.from) * factor;
    scale.setVisibleLogicalRange({ from: range.to - size, to: range.to });
  }

  scroll(share) {
    const scale = this.chart.timeScale(),
      range = scale.getVisibleLogicalRange();
    if (!range) return;
    const by = (range.to - range.from) * share;
    scale.setVisibleLogicalRange({ from: range.from + by, to: range.to + by });
  }

  latest() {
    this.chart.timeScale().scrollToRealTime();
  }

  destroy() {
    this.chart.remove();
  }
}

const bar = (t, o, h, l, c) => ({ time: t + IST, open: o / 100, high: h / 100, low: l / 100, close: c / 100 });
function stamp(t) {
  const date = new Date(t * 1000);
  return `${date.getUTCDate()}.${two(date.getUTCMonth() + 1)}. ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}
