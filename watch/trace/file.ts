// A trace in a file.

import { close } from "../../core/linux/fd.ts";
import { openFile, writeAt } from "../../core/linux/file.ts";
import { kindAt } from "../../core/linux/file_kind.ts";
import type { TraceEvent } from "../../core/trace/event.ts";
import type { TraceSink } from "../../core/trace/trace.ts";
import { pageFormat } from "./page_format.ts";
import { perfettoFormat } from "./perfetto.ts";
import { textFormat } from "./text.ts";

const MIB = 2 ** 20;
/** What is written at once. */
const CHUNK = 256 * 1024;
/** Kept for the end of the file. */
const END_BYTES = 64 * 1024;
/** Bytes of a page that a browser still shows at once. */
const PAGE_MIB = 16;
const FILE_MIB = 256;

/** How events become a file. */
export interface Format {
  /** What comes first. */
  begin(): string;
  /** An event; empty if it has no place there. */
  event(event: TraceEvent): string;
  /**
   * What comes last.
   *
   * @param missing What is not in the file, if anything is: a sentence.
   */
  end(missing: string | undefined): string;
}

/** How a trace is written. */
export interface TraceFileOptions {
  /** Bytes that the file may have: at least 1 MiB; 256 MiB if left out, 16 MiB for a page. */
  readonly limit?: number;
  /** Takes the sentence that says so if the file is at its limit before the end. */
  readonly cut?: (reason: string) => void;
  /** Takes the sentence that says so if the file cannot be written any more. */
  readonly failed?: (reason: string) => void;
}

/** The formats, by the ends of files' names. */
const FORMATS: Readonly<Record<string, () => Format>> = {
  txt: textFormat,
  json: perfettoFormat,
  html: pageFormat,
};

/**
 * Makes a file for a trace, for `openKernel`. What its name ends in says how it is written: `.txt` as lines, `.json` as
 * trace events for Perfetto and Chrome, `.html` as a page that shows them.
 *
 * What finds no room in it is counted, and the end of the file says so.
 *
 * @throws {RangeError} If its name ends in nothing of that, or the limit is too low.
 * @throws {OsError} If it cannot be made.
 */
export function traceFile(path: string, options: TraceFileOptions = {}): TraceSink {
  const ending = /\.([a-z]+)$/.exec(path)?.[1] ?? "";
  const format = Object.hasOwn(FORMATS, ending) ? FORMATS[ending]!() : undefined;
  if (!format) {
    throw new RangeError(
      `Cannot trace to ${path}: its name must end in .txt, .json (for Perfetto) or .html (a page)`,
    );
  }
  const { limit = (ending === "html" ? PAGE_MIB : FILE_MIB) * MIB } = options;
  if (!(limit >= MIB)) throw new RangeError(`Cannot trace to ${path}: its limit is under 1 MiB`);
  const kind = kindAt(path);
  if (kind === "folder" || kind === "socket") {
    throw new RangeError(`Cannot trace to ${path}: it is a ${kind}`);
  }
  return new TraceFile(path, format, limit, options);
}

class TraceFile implements TraceSink {
  readonly #path: string;
  readonly #format: Format;
  readonly #limit: number;
  readonly #options: TraceFileOptions;
  readonly #fd: number;
  readonly #encoder = new TextEncoder();
  #at = 0;
  #parts: string[] = [];
  #length = 0;
  /** Bytes of what is written and what waits for it: text is mostly ASCII, and what is not was counted as three. */
  #bytes = 0;
  #unwritten = 0;
  #broken: string | undefined;

  constructor(path: string, format: Format, limit: number, options: TraceFileOptions) {
    this.#path = path;
    this.#format = format;
    this.#limit = limit - END_BYTES;
    this.#options = options;
    this.#fd = openFile(path, { write: true, create: true, truncate: true });
    this.#add(format.begin());
    this.#write();
  }

  event(event: TraceEvent): void {
    // What came first is kept: there everything begins.
    const text = this.#unwritten > 0 ? "" : this.#format.event(event);
    if (this.#unwritten > 0 || this.#bytes + most(text) > this.#limit) {
      this.#unwritten++;
      return;
    }
    this.#add(text);
    if (this.#length >= CHUNK) this.#write();
  }

  #add(text: string): void {
    this.#parts.push(text);
    this.#length += text.length;
    this.#bytes += most(text);
  }

  #write(): void {
    const bytes = this.#encoder.encode(this.#parts.join(""));
    this.#parts = [];
    this.#length = 0;
    if (this.#broken !== undefined) return;
    try {
      writeAt(this.#fd, bytes, this.#at);
      this.#at += bytes.length;
    } catch (error) {
      this.#broken = (error as Error).message;
      this.#options.failed?.(`The trace in ${this.#path} ends early: ${this.#broken}`);
    }
  }

  end(): void {
    const missing = this.#unwritten === 0
      ? undefined
      : `${this.#unwritten} more events were not written: the file is at its limit of ${
        (this.#limit + END_BYTES) / MIB
      } MiB`;
    this.#add(this.#format.end(missing));
    this.#write();
    close(this.#fd);
    if (missing !== undefined) this.#options.cut?.(`The trace in ${this.#path} is cut: ${missing}`);
  }
}

/** Bytes that a text takes at most. */
function most(text: string): number {
  // deno-lint-ignore no-control-regex
  return /^[\x00-\x7f]*$/.test(text) ? text.length : 3 * text.length;
}
