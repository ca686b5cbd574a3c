const LINE = 16;

/** Bytes for people, as `hexdump -C` prints them. */
export function hexDump(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += LINE) {
    const line = Array.from(bytes.subarray(at, at + LINE));
    const digits = line.map((byte) => byte.toString(16).padStart(2, "0"));
    const halves = [digits.slice(0, LINE / 2).join(" "), digits.slice(LINE / 2).join(" ")];
    const text = line.map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")
      .join("");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${halves.join("  ").padEnd(48)}  |${text}|`);
  }
  return lines;
}
