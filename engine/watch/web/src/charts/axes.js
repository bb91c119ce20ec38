// What all uPlot charts share: the theme's colours, India's clock, Indian grouping. Used by the page and by reports.
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
export const colours = () => ({
  ink: css('ink'),
  faint: css('ink-2'),
  line: css('line'),
  up: css('up'),
  down: css('down'),
  main: css('accent'),
  more: css('map-more-2'),
  surface: css('surface'),
});
const grouped = new Intl.NumberFormat('en-IN', { maximumFractionDigits: 0 });
const lakh = (rupees) => {
  const size = Math.abs(rupees),
    sign = rupees < 0 ? '−' : '';
  if (size >= 1e7) return `${sign}${+(size / 1e7).toFixed(2)} cr`;
  return size >= 1e5 ? `${sign}${+(size / 1e5).toFixed(2)} L` : sign + grouped.format(size);
};
export const FONT = '11px system-ui, "Segoe UI", Roboto, sans-serif';

const india = (ts) => uPlot.tzDate(new Date(ts * 1000), 'Asia/Kolkata');

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (n) => String(n).padStart(2, '0');
const SPANS = [
  [86_400 * 28, (d) => `${MONTHS[d.getMonth()]} ${d.getFullYear()}`],
  [86_400, (d) => `${d.getDate()} ${MONTHS[d.getMonth()]}`],
  [60, (d) => `${two(d.getHours())}:${two(d.getMinutes())}`],
  [0, (d) => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`],
];
/** Times of the ticks: as fine as they are apart. */
const times = (_, ticks) => {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
  const [, write] = SPANS.find(([least]) => step >= least);
  return ticks.map((tick) => write(india(tick)));
};
/** The legend's time under the cursor. */
export const atTime = (_, value) => {
  if (value == null) return '--:--';
  const d = india(value);
  return `${d.getDate()} ${MONTHS[d.getMonth()]} ${two(d.getHours())}:${two(d.getMinutes())}`;
};

export function xAxis(c) {
  return {
    values: times,
    stroke: c.faint,
    font: FONT,
    grid: { stroke: c.line, width: 1 },
    ticks: { show: false },
    gap: 4,
    size: 24,
  };
}

export function yAxis(c, { values = (_, ticks) => ticks.map(lakh), size = 58, side = 3, grid = true } = {}) {
  return {
    stroke: c.faint,
    font: FONT,
    grid: { show: grid, stroke: c.line, width: 1 },
    ticks: { show: false },
    gap: 4,
    size,
    side,
    values,
  };
}

/** A chart that fills its parent, follows its size and is taken away by `destroy`. `make(width, height, colours)` gives what
 * uPlot is to draw. */
export function mounted(parent, make, data) {
  let chart = null;
  const build = () => {
    const { clientWidth: width, clientHeight: height } = parent;
    if (width < 30 || height < 30) return;
    chart?.destroy();
    chart = new uPlot(
      {
        tzDate: india,
        cursor: { drag: { x: true, y: false }, points: { size: 6 } },
        ...make(width, height, colours()),
        width,
        height: height - 24,
      },
      data,
      parent,
    );
  };
  build();
  const watcher = new ResizeObserver(() => {
    if (!chart) build();
    else chart.setSize({ width: parent.clientWidth, height: Math.max(30, parent.clientHeight - 24) });
  });
  watcher.observe(parent);
  return {
    /** New data; what is zoomed stays. */
    set(fresh) {
      data = fresh;
      if (!chart) return build();
      const { min, max } = chart.scales.x,
        old = chart.data[0];
      const isWhole = min <= old[0] && max >= old.at(-1);
      chart.setData(fresh, isWhole);
      if (!isWhole) chart.setScale('x', { min, max });
      return undefined;
    },
    rebuild: build,
    get chart() {
      return chart;
    },
    destroy() {
      watcher.disconnect();
      chart?.destroy();
      chart = null;
    },
  };
}
export { lakh, uPlot };
