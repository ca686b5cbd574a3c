// Where a machine's figures are told to Prometheus.

import type { Loop } from "../core/irq/interrupt_loop.ts";
import { close } from "../core/linux/fd.ts";
import { openFile, rename, unlink, writeAt } from "../core/linux/file.ts";
import { kindAt } from "../core/linux/file_kind.ts";
import { LineServer } from "./line_server.ts";
import { METRICS_TYPE, metricsText } from "./metrics.ts";
import type { Snapshot } from "./snapshot.ts";

/** How often a file is written. */
const PERIOD_MS = 5000;

/** Where figures are told, and how. */
export interface PublishOptions {
  /** What waits for a socket. */
  readonly loop: Loop;
  /** Looks at the machine. */
  look(): Promise<Snapshot>;
  /** A file could not be written; told once. */
  failed(reason: string): void;
}

/** What tells figures until it is disposed. */
export interface Publisher extends AsyncDisposable {
  /** Tells them now, where they are not asked for: before a device goes away. */
  refresh(): Promise<void>;
}

/**
 * Tells a machine's figures to Prometheus. A path that ends in `.sock`, or where a socket is, becomes a Unix socket of this user,
 * which answers HTTP; any other is a file that is replaced as a whole every 5 s, and when it is asked for: for the node
 * exporter's textfile collector. The file stays, with what was told last.
 *
 * @throws PathTaken If something else stands where the socket is to be.
 * @throws OsError If that is not possible at this path.
 */
export function publishMetrics(path: string, options: PublishOptions): Publisher {
  const { loop, look } = options;
  if (!path.endsWith(".sock") && kindAt(path) !== "socket") return new MetricsFile(path, options);
  const server = new LineServer(path, loop, {
    end: "\r\n\r\n",
    again: false,
    answer: async (request) =>
      /^GET \S+ HTTP\/1\.[01]\r?$/m.test(request)
        ? response("200 OK", metricsText(await look()))
        : response("405 Method Not Allowed", "The only request is GET.\n"),
    refusal: response("403 Forbidden", "This machine is another user's.\n"),
  });
  return {
    refresh: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(server[Symbol.dispose]()),
  };
}

function response(status: string, body: string): string {
  return [
    `HTTP/1.1 ${status}`,
    `Content-Type: ${METRICS_TYPE}`,
    `Content-Length: ${new TextEncoder().encode(body).length}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n");
}

class MetricsFile implements Publisher {
  readonly #path: string;
  readonly #options: PublishOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  #writing: Promise<void> | undefined;
  #failed = false;

  constructor(path: string, options: PublishOptions) {
    this.#path = path;
    this.#options = options;
    // A path that cannot be written is told now.
    const fd = openFile(this.#next, { write: true, create: true });
    close(fd);
    unlink(this.#next);
    this.#timer = setInterval(() => this.refresh(), PERIOD_MS);
  }

  /** The new file, until it takes the place of the old one. */
  get #next(): string {
    return `${this.#path}.new`;
  }

  refresh(): Promise<void> {
    return this.#writing ??= this.#replace().finally(() => this.#writing = undefined);
  }

  async #replace(): Promise<void> {
    const bytes = new TextEncoder().encode(metricsText(await this.#options.look()));
    try {
      const fd = openFile(this.#next, { write: true, create: true, truncate: true });
      try {
        writeAt(fd, bytes, 0);
      } finally {
        close(fd);
      }
      rename(this.#next, this.#path);
    } catch (error) {
      unlink(this.#next);
      if (this.#failed) return;
      this.#failed = true;
      this.#options.failed(`The figures in ${this.#path} are old: ${(error as Error).message}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
  }
}
