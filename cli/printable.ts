/**
 * Text that devices and drivers had a hand in, made safe to print: what steers a terminal becomes visible. Our own
 * colours are put around it afterwards.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n]|\p{Bidi_Control}/gu, (character) => {
    return `\\u{${character.codePointAt(0)!.toString(16)}}`;
  });
}

/** The first line of a text: what others wrote must not look like another line of ours. */
export function firstLine(text: string): string {
  return text.split("\n", 1)[0]!;
}

/** An error's text in one line: its first, and the place in the driver that the next one names, if it does. */
export function withPlace(text: string): string {
  const place = /^.*\n +(at .*)/.exec(text)?.[1];
  return firstLine(text) + (place === undefined ? "" : `, ${place}`);
}
