/**
 * Figures as pictures.
 *
 * @module
 */

import { CustomChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { spread } from "./figure.ts";
import type { Table } from "./table.ts";

echarts.use([CustomChart, GridComponent, LegendComponent, SVGRenderer, TitleComponent]);

const WIDTH = 800;
const LINE = 14;
const GAP = 10;
const AROUND = 110;
const DOT = 4;
/** Of a letter of a label, at most. */
const LETTER = 6.6;
const COLOURS = ["#5470c6", "#91cc75", "#fac858", "#ee6666", "#73c0de"];

/** Draws a table as an SVG: a dot for each figure, on a line from quarter to quarter of its samples. */
export function plot(title: string, table: Table): string {
  const { unit, axis, better, contenders, rows } = table;
  const height = AROUND + rows.length * (contenders.length * LINE + GAP);
  const labels = rows.map(({ subject, at }) => `${subject}, ${axis} ${at}`);
  const longest = Math.max(...labels.map(({ length }) => length));
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  // It is drawn once: no frame follows, for which a timer would outlive the chart.
  chart.getZr().animation.start = () => {};
  try {
    chart.setOption({
      animation: false,
      backgroundColor: "#ffffff",
      title: { text: title, left: 10, top: 8, textStyle: { fontSize: 14 } },
      legend: { top: 34, left: 10 },
      grid: { left: 20 + longest * LETTER, right: 30, top: 64, bottom: 40 },
      xAxis: {
        type: "log",
        name: `${unit}; ${better} is better`,
        nameLocation: "middle",
        nameGap: 26,
        axisLabel: { formatter: (value: number) => `${value}` },
      },
      yAxis: {
        type: "category",
        inverse: true,
        data: labels,
        splitLine: { show: true },
      },
      series: contenders.map((name, i) => series(name, i, table)),
    });
    // What it does under a pointer goes: its names differ from time to time.
    return chart.renderToSVGString().replace(/<style.*?<\/style>\n?/s, "")
      .replaceAll(/ class="[^"]*"/g, "");
  } finally {
    chart.dispose();
  }
}

/** What custom series ask: a value of the datum, and where something is in the picture. */
interface Chart {
  value(dimension: number): number;
  coord(at: readonly number[]): number[];
}

/** The dots of a contender, with their lines. */
function series(name: string, i: number, { contenders, rows }: Table): object {
  const color = COLOURS[i % COLOURS.length];
  const draw = (chart: Chart) => {
    const [row, ...values] = [0, 1, 2, 3].map((dimension) => chart.value(dimension)) as number[];
    const [[from, middle], [median], [to]] = values.map((value) => chart.coord([value, row!])) as [
      [number, number],
      [number],
      [number],
    ];
    const y = middle + (i - (contenders.length - 1) / 2) * LINE;
    const children = [
      {
        type: "line",
        shape: { x1: from, x2: to, y1: y, y2: y },
        style: { stroke: color, lineWidth: 3 },
      },
      { type: "circle", shape: { cx: median, cy: y, r: DOT }, style: { fill: color } },
    ];
    return { type: "group", children };
  };
  return {
    type: "custom",
    name,
    silent: true,
    itemStyle: { color },
    renderItem: (_: unknown, chart: Chart) => draw(chart),
    encode: { x: [1, 2, 3], y: 0 },
    data: rows.flatMap(({ cells }, row) => {
      if (!cells[i]) return [];
      const { quarter, median, threeQuarters } = spread(cells[i].samples);
      return [[row, quarter, median, threeQuarters]];
    }),
  };
}
