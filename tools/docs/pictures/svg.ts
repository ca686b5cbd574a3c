// Pieces of pictures.

/** Colours: of each actor, of lines, and of text. */
export const COLOURS = {
  core: "#dbeafe",
  driver: "#dcfce7",
  client: "#fef3c7",
  device: "#fce7f3",
  plain: "#f6f7f9",
  line: "#64748b",
  text: "#1c2430",
  soft: "#5a6675",
} as const;

/** A box with lines of text in it, the first of them bold. */
export function box(
  x: number,
  y: number,
  width: number,
  height: number,
  lines: readonly string[],
  fill: string = COLOURS.plain,
): string {
  const rows = lines.map((line, i) =>
    text(x + 10, y + 20 + 17 * i, line, i === 0 ? { weight: 600 } : { fill: COLOURS.soft })
  );
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6" fill="${fill}" stroke="${COLOURS.line}"/>` +
    rows.join("");
}

/** A line of text. */
export function text(
  x: number,
  y: number,
  words: string,
  { anchor = "start", fill = COLOURS.text as string, weight = 400, mono = false } = {},
): string {
  const escaped = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const family = mono ? ` font-family="ui-monospace, DejaVu Sans Mono, monospace"` : "";
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${fill}" font-weight="${weight}"${family}>${escaped}</text>`;
}

/** An arrow along points. */
export function arrow(...points: readonly (readonly [x: number, y: number])[]): string {
  const path = points.map(([x, y]) => `${x},${y}`).join(" ");
  return `<polyline points="${path}" fill="none" stroke="${COLOURS.line}" stroke-width="1.5" marker-end="url(#head)"/>`;
}

/** A dashed line. */
export function dashed(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#cbd5e1" stroke-dasharray="4 4"/>`;
}

/** A whole picture; `title` is what it says to those who do not see it. */
export function picture(
  width: number,
  height: number,
  title: string,
  parts: readonly string[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${title}</title>`,
    `<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="${COLOURS.line}"/></marker></defs>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}
