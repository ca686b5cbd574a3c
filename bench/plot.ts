/**
 * Figures as pictures.
 *
 * @module
 */

import { BarChart, CustomChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { spread } from "./figure.ts";
import type { Table } from "./table.ts";

echarts.use([
  BarChart,
  CustomChart,
  GridComponent,
  LegendComponent,
  SVGRenderer,
  TitleComponent,
]);

const WIDTH = 800;
const BAR = 14;
const GAP = 16;
const AROUND = 110;
const COLOURS = ["#5470c6", "#91cc75", "#fac858", "#ee6666", "#73c0de"];

/** Draws a table as an SVG: a bar for each figure, and over it a line from quarter to quarter of its samples. */
export function plot(title: string, table: Table): string {
  const { unit, axis, better, contenders, rows } = table;
  const height = AROUND + rows.length * (contenders.length * BAR + GAP);
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: "#ffffff",
      title: { text: title, left: 10, top: 8, textStyle: { fontSize: 14 } },
      legend: { top: 34, left: 10 },
      grid: { left: 10, right: 30, top: 64, bottom: 40 },
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
        data: rows.map(({ subject, at }) => `${subject}, ${axis} ${at}`),
      },
      series: contenders.flatMap((name, i) => series(name, i, table)),
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

/** The bars of a contender, and their lines. */
function series(name: string, i: number, { contenders, rows }: Table): object[] {
  const spreads = rows.map(({ cells }) => cells[i] && spread(cells[i].samples));
  const line = (api: { value(i: number): number; coord(at: readonly number[]): number[] }) => {
    const row = api.value(0);
    const [from, y] = api.coord([api.value(1), row]) as [number, number];
    const [to] = api.coord([api.value(2), row]) as [number];
    const middle = y + (i - (contenders.length - 1) / 2) * BAR;
    const shape = { x1: from, x2: to, y1: middle, y2: middle };
    return { type: "line", shape, style: { stroke: "#000000", lineWidth: 2 } };
  };
  return [
    {
      type: "bar",
      name,
      itemStyle: { color: COLOURS[i % COLOURS.length] },
      barWidth: BAR - 2,
      barGap: `${200 / (BAR - 2)}%`,
      data: spreads.map((each) => each?.median ?? "-"),
    },
    {
      type: "custom",
      silent: true,
      z: 10,
      renderItem: (_: unknown, api: Parameters<typeof line>[0]) => line(api),
      encode: { x: [1, 2], y: 0 },
      data: spreads.flatMap((each, row) => each ? [[row, each.quarter, each.threeQuarters]] : []),
    },
  ];
}
