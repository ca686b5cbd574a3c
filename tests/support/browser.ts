/**
 * A browser without a window, for tests of pages: spoken to by the protocol of its developer tools.
 *
 * @module
 */

import { soon } from "./leaks.ts";

/** How long an answer of the browser's may take, in milliseconds. */
const PATIENCE = 60_000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** Events that a page should not cause. */
const COMPLAINTS = ["Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"];

/** A page in a Chromium of its own, which ends with it. */
export class Browser implements AsyncDisposable {
  /** What the page threw, and printed on its console. */
  readonly complaints: string[] = [];
  readonly #program: Deno.ChildProcess;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<Message>>();
  readonly #folder: string;
  #session: string | undefined;
  #next = 1;

  private constructor(program: Deno.ChildProcess, folder: string, socket: WebSocket) {
    this.#program = program;
    this.#folder = folder;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
  }

  /** Opens a page. `folder` is where the browser puts what it remembers; it is made, and removed at the end. */
  static async open(url: string, folder: string): Promise<Browser> {
    const program = new Deno.Command("chromium", {
      args: [
        ...["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"],
        ...[`--user-data-dir=${folder}`, "about:blank"],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    // The port and the path of its socket, once it listens.
    const file = `${folder}/DevToolsActivePort`;
    let place: string[] = [];
    const listens = () => {
      try {
        place = Deno.readTextFileSync(file).split("\n");
      } catch {
        // Not yet.
      }
      return place.length >= 2;
    };
    try {
      if (!await soon(listens, PATIENCE)) throw new Error("Chromium does not listen");
      const socket = new WebSocket(`ws://127.0.0.1:${place[0]}${place[1]}`);
      const open = Promise.withResolvers<void>();
      socket.onopen = () => open.resolve();
      socket.onerror = () => open.reject(new Error("Chromium hung up"));
      await open.promise;
      const browser = new Browser(program, folder, socket);
      await browser.#begin();
      await browser.show(url);
      return browser;
    } catch (error) {
      await end(program, folder);
      throw error;
    }
  }

  async #begin(): Promise<void> {
    const { targetId } = await this.#ask("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.#ask("Target.attachToTarget", { targetId, flatten: true });
    this.#session = sessionId as string;
    for (const domain of ["Page", "Runtime", "Log"]) await this.#ask(`${domain}.enable`);
  }

  /** Shows another page, and waits until it is loaded. */
  async show(url: string): Promise<void> {
    await this.#ask("Page.navigate", { url });
    await this.until(`location.href === "${url}" && document.readyState === "complete"`);
  }

  /** What an expression comes to in the page. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#ask("Runtime.evaluate", {
      expression,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: unknown }).value;
  }

  /** Waits until a condition holds in the page. */
  async until(condition: string): Promise<void> {
    const end = performance.now() + PATIENCE;
    while (await this.evaluate(condition) !== true) {
      if (performance.now() > end) throw new Error(`It does not come to ${condition}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Presses a key and lets go of it. */
  async press(key: string): Promise<void> {
    for (const type of ["keyDown", "keyUp"]) {
      await this.#ask("Input.dispatchKeyEvent", { type, key });
    }
  }

  /** Types a text where the page has its focus. */
  async type(text: string): Promise<void> {
    await this.#ask("Input.insertText", { text });
  }

  /** Makes the window so wide, in pixels of CSS. */
  async resize(width: number): Promise<void> {
    const shape = { width, height: 800, deviceScaleFactor: 1, mobile: false };
    await this.#ask("Emulation.setDeviceMetricsOverride", shape);
  }

  #ask(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = this.#next++;
    const answer = Promise.withResolvers<Message>();
    this.#waiting.set(id, answer);
    const timer = setTimeout(
      () => answer.reject(new Error(`Chromium does not answer ${method}`)),
      PATIENCE,
    );
    const sessionId = this.#session;
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    return answer.promise.then(({ error, result }) => {
      if (error) throw new Error(`${method}: ${error.message}`);
      return result!;
    }).finally(() => clearTimeout(timer));
  }

  #hear({ id, method, params, ...rest }: Message): void {
    if (id !== undefined) {
      this.#waiting.get(id)?.resolve(rest);
      this.#waiting.delete(id);
    } else if (COMPLAINTS.includes(method!)) this.complaints.push(JSON.stringify(params));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = Promise.withResolvers<void>();
    this.#socket.onclose = () => closed.resolve();
    await end(this.#program, this.#folder);
    await closed.promise;
  }
}

/** Ends Chromium, and removes its folder. Its other processes end by themselves, and put something there until then. */
async function end(program: Deno.ChildProcess, folder: string): Promise<void> {
  program.kill("SIGKILL");
  await program.status;
  const removed = () => {
    try {
      Deno.removeSync(folder, { recursive: true });
    } catch (error) {
      return error instanceof Deno.errors.NotFound;
    }
    return true;
  };
  if (!await soon(removed, PATIENCE)) throw new Error(`Chromium does not leave ${folder}`);
}
