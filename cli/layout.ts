/**
 * Text for people, in the columns that they have. Nothing is ever lost: what does not fit goes to the next line, and a
 * word that is longer than a line stays whole.
 *
 * @module
 */

/** Columns where nothing says how many there are: those of a terminal that was never made wider. */
export const USUAL_COLUMNS = 80;
/** With fewer, lines are laid out as if there were so many. */
const LEAST_COLUMNS = 20;
/** The left of two columns takes at most this part of the line; else the right one gets lines of its own. */
const MOST_LEFT = 0.4;

/**
 * How many columns to lay text out for: what the user says by `COLUMNS`, else what the terminal has.
 *
 * @returns Undefined where there is no terminal: a program reads, which wants whole lines.
 */
export function columnsOf(
  environment: Readonly<Record<string, string>>,
  terminal: number | undefined,
): number | undefined {
  const { COLUMNS = "" } = environment;
  const told = /^[1-9]\d{0,5}$/.test(COLUMNS) ? Number(COLUMNS) : terminal;
  return told === undefined ? undefined : Math.max(LEAST_COLUMNS, told || USUAL_COLUMNS);
}

/** What takes two columns, and what takes none. */
const WIDE =
  /[\p{scx=Han}\p{scx=Hangul}\p{scx=Hira}\p{scx=Kana}\p{Emoji_Presentation}\uff01-\uff60]/u;
const NONE = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** Columns that a text takes. By hand, as `unicodeWidth` of `@std/cli` lacks its data on npm. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) {
    width += character <= "\x7f" ? 1 : WIDE.test(character) ? 2 : NONE.test(character) ? 0 : 1;
  }
  return width;
}

/** A text with spaces behind it, to a width. */
export function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}

/**
 * Cuts a text to a width; an ellipsis stands for the rest.
 *
 * @param width Undefined for no limit.
 */
export function clipped(text: string, width: number | undefined): string {
  if (width === undefined || widthOf(text) <= width) return text;
  let kept = "";
  for (const character of text) {
    if (widthOf(kept + character) >= width) break;
    kept += character;
  }
  return `${kept.trimEnd()}…`;
}

/**
 * A text as lines of words. Lines after the first begin with so many spaces.
 *
 * @param columns Undefined for no limit.
 */
export function wrapped(text: string, columns: number | undefined, indent = 0): string[] {
  if (columns === undefined) return [text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/ +/)) {
    const longer = line === "" ? word : `${line} ${word}`;
    const room = columns - (lines.length > 0 ? indent : 0);
    if (line === "" || widthOf(longer) <= room) {
      line = longer;
      continue;
    }
    lines.push(line);
    line = word;
  }
  return [...lines, line].map((each, i) => i === 0 ? each : " ".repeat(indent) + each);
}

/**
 * Lines of text as paragraphs: those that follow one another are one, an empty line stands between two, and a line that
 * begins with a space stays as it is.
 */
export function paragraphs(lines: readonly string[], columns: number): string[] {
  const laid: string[] = [];
  let text = "";
  const flush = () => {
    if (text !== "") laid.push(...wrapped(text, columns));
    text = "";
  };
  for (const line of lines) {
    if (line !== "" && !line.startsWith(" ")) {
      text = text === "" ? line : `${text} ${line}`;
      continue;
    }
    flush();
    laid.push(line);
  }
  flush();
  return laid;
}

/** Names and what each means, side by side where there is room for both, else one beneath the other. */
export function definitions(
  rows: readonly (readonly [name: string, meaning: string])[],
  columns: number,
): string[] {
  const longest = Math.max(0, ...rows.map(([name]) => widthOf(name)));
  const most = Math.floor(columns * MOST_LEFT) - 4;
  // One long name does not push all others aside.
  const left = Math.min(longest, most);
  const indent = columns < 2 * LEAST_COLUMNS ? 4 : left + 4;
  return rows.flatMap(([name, meaning]) => {
    const beside = widthOf(name) <= left && indent === left + 4;
    const text = wrapped(meaning, columns - indent)
      .map((line) => " ".repeat(indent) + line);
    if (!beside) return [...wrapped(name, columns - 2, 2).map((line) => `  ${line}`), ...text];
    return [`  ${padded(name, left)}  ${text[0]!.trimStart()}`, ...text.slice(1)];
  });
}

/** At least so wide is the column of names: short lists stand alike. */
const NAMES = 14;

/** What something is: names, and a fact of each that has one. A fact that is longer than the line goes on below itself. */
export function factLines(
  facts: readonly (readonly [name: string, fact: string | undefined])[],
  columns: number | undefined,
): string[] {
  const known = facts.filter(([, fact]) => fact) as (readonly [string, string])[];
  const left = Math.max(NAMES, ...known.map(([name]) => widthOf(name))) + 1;
  return known.flatMap(([name, fact]) => {
    // One beside the other is no good in a few columns.
    const room = columns === undefined || columns < 2 * left ? Infinity : columns - left;
    return fact.split("\n")
      .flatMap((line) => widthOf(line) <= room ? [line] : wrapped(line, room))
      .map((line, i) => padded(i === 0 ? name : "", left) + line);
  });
}

/** Cells in columns, the last of which is cut to what is left of the line. */
export function table(
  rows: readonly (readonly string[])[],
  columns: number | undefined,
): string[] {
  const count = Math.max(0, ...rows.map(({ length }) => length));
  const widths = Array.from(
    { length: Math.max(0, count - 1) },
    (_, column) => Math.max(...rows.map((row) => widthOf(row[column] ?? ""))),
  );
  const left = widths.reduce((sum, width) => sum + width + 2, 0);
  const room = columns === undefined ? undefined : columns - left;
  return rows.map((row) => {
    const cells = widths.map((width, column) => padded(row[column] ?? "", width) + "  ");
    const last = row[count - 1] ?? "";
    // Of a few letters nothing can be read.
    const rest = room !== undefined && room < 8 ? "" : clipped(last, room);
    return (cells.join("") + rest).trimEnd();
  });
}
