// A driver host that is a process of its own.

import config from "../../deno.json" with { type: "json" };
import { Cause } from "../bus/bell.ts";
import { within } from "../class/within.ts";
import { PAGE } from "../dma/address_table.ts";
import { close, pipe } from "../linux/fd.ts";
import { environment, open, readLink, realPath } from "../linux/file.ts";
import { yielder } from "../linux/poll.ts";
import { type Exit, kill, processId, reap, SIGKILL, SIGUSR1, spawn } from "../linux/process.ts";
import { type Boot, Descriptor, wireDoorbell } from "./boot.ts";
import type { DriverHost, DriverHostOptions } from "./driver_host.ts";
import { Output } from "./output.ts";
import { V8_FLAGS } from "./v8_flags.ts";
import { Watchdog } from "./watchdog.ts";

/** A killed process is gone after this long, or something is very wrong with the machine. */
const END_MS = 2000;
/** How often a client looks before it sleeps, and how often in a row before another may have the processor. */
const SPINS = 400, LOOKS = 8;
/** What Deno itself needs besides the driver's heap. */
const RUNTIME_MIB = 1024;

/** Variables that Deno itself needs to find its cache, or that its tests look at. */
const PASSED_ON = [
  "DENO_DIR",
  "HOME",
  "XDG_CACHE_HOME",
  "TMPDIR",
  "JSR_URL",
  "DENO_AUDIT_PERMISSIONS",
];

/** Runs a driver in a process of its own, which has no permission left when the driver's code begins. */
export function processHost(options: DriverHostOptions): DriverHost {
  const { loop, link, arena, doorbells, entry, vectors } = options;
  const { heapMiB } = options.manifest.limits;
  const yieldProcessor = yielder();
  let looks = 0;
  let over = false;
  const gone = (reason: string) => {
    if (over) return;
    over = true;
    options.gone(reason);
  };

  // Those that stay open come first.
  const [stored = [], written = []] = [false, true].map((message) =>
    doorbells.filter((each) => "message" in each === message).map(({ fd }) => fd)
  );
  const windows = Object.entries(options.registers ?? {});
  const mapped = windows.flatMap(([, { pages }]) => pages ? [pages.fd] : []);
  const deviceFds = [...new Set([...written, ...stored, ...mapped])];
  const descriptorOf = (fd: number) => Descriptor.vectors + vectors.length + deviceFds.indexOf(fd);
  const boot: Boot = {
    folder: options.folder,
    core: processId(),
    controlSize: link.control.byteLength,
    arenaOffset: arena.offset,
    arenaSize: arena.size,
    arenaAlignment: arena.alignment ?? PAGE,
    vectors: vectors.length,
    doorbells: doorbells.map((each) => wireDoorbell(each, descriptorOf(each.fd))),
    registers: windows.map(([name, { window, pages, doorbells = false }]) => ({
      name,
      bytes: window.size,
      doorbells,
      ...pages && { pages: { ...pages, fd: descriptorOf(pages.fd) } },
    })),
    watch: options.watch,
    counted: options.counted,
    ...(link.trace !== undefined && { trace: link.trace }),
    memory: (heapMiB + RUNTIME_MIB) * 2 ** 20,
  };
  const nothing = open("/dev/null", 0);
  const [stdoutRead, stdout] = pipe();
  const [stderrRead, stderr] = pipe();
  const { pid, pidfd } = spawn({
    path: readLink("/proc/self/exe")!,
    args: [...denoArguments(options, heapMiB), entry, JSON.stringify(boot)],
    environment: childEnvironment(),
    descriptors: [
      nothing,
      stdout,
      stderr,
      link.fd,
      arena.fd,
      link.driverFd,
      link.coreFd,
      ...vectors,
      ...deviceFds,
    ],
    blocked: [SIGUSR1],
  });
  [nothing, stdout, stderr].forEach(close);
  const outputs = [stdoutRead, stderrRead].map((fd) => new Output(fd, loop, options.print));

  const ended = Promise.withResolvers<void>();
  let exit: Exit | undefined;
  loop.add(pidfd, () => {
    exit = reap(pid);
    if (!exit) return;
    loop.remove(pidfd);
    close(pidfd);
    watchdog[Symbol.dispose]();
    outputs.forEach((output) => output.end());
    ended.resolve();
    if (over) return;
    // What it said before it ended tells more than how it ended.
    link.takeAll();
    const [, errors] = outputs;
    gone(`its process ended ${how(exit)}${errors!.telling && `: ${errors!.telling}`}`);
  });
  const watched = { pid, words: link.words, bell: link.driver, patience: options.patience };
  const watchdog = new Watchdog(watched, gone);

  return {
    pid,
    send: (message) => link.send(message),
    ring: () => link.driver.ring(Cause.lane),
    spins: SPINS,
    run() {
      link.answerBell();
      // Driver and device need the processors more than a client that only looks.
      return ++looks % LOOKS !== 0 || yieldProcessor();
    },
    wait: (timeout) => link.wait(timeout),
    async end() {
      over = true;
      watchdog[Symbol.dispose]();
      if (exit) return;
      kill(pid, SIGKILL);
      // The loop takes note of its end, and others go on meanwhile; one that is late does so when it comes.
      await within(END_MS, ended.promise);
    },
  };
}

/** The folder of this package. */
const PACKAGE = new URL("../../", import.meta.url).href;
/** Its folders with what drivers may import. */
const SHARED = ["core/", "classes/"].map((folder) => `${PACKAGE}${folder}`);
/** That by its names, as `deno.json` exports it. */
const IMPORTS = Object.fromEntries(
  Object.entries(config.exports)
    .map(([name, path]) => [`${config.name}${name.slice(1)}`, `${PACKAGE}${path.slice(2)}`])
    .filter(([, url]) => SHARED.some((folder) => url!.startsWith(folder))),
);

/** Never called: it makes the modules that only a driver's process runs part of what Deno fetches with this package. */
export const FETCHED = (): readonly Promise<
  unknown
>[] => [import("./process_main.ts"), import("./give_up.ts")];

/**
 * What the process may do until its plugin is loaded: read the plugin's folder and those that drivers share, nothing else. It is
 * configured here and nowhere else: what a `deno.json` or `package.json` beside the plugin says has no effect.
 */
function denoArguments({ entry, folder }: DriverHostOptions, heapMiB: number): string[] {
  const local = [...SHARED, folder].filter((each) => each.startsWith("file:"));
  // By the name that imports use, and by that of the place that it leads to.
  const folders = local.map(pathOf).flatMap((path) => [path, realPath(path)]);
  const hosts = [PACKAGE, entry].filter((each) => /^https?:/.test(each)).map((each) =>
    new URL(each).host
  );
  return [
    "run",
    "--allow-ffi",
    ...(folders.length > 0 ? [`--allow-read=${[...new Set(folders)].join()}`] : []),
    ...(hosts.length > 0 ? [`--allow-import=${hosts.join()}`] : []),
    "--no-prompt",
    "--no-config",
    `--import-map=data:application/json,${
      encodeURIComponent(JSON.stringify({ imports: IMPORTS }))
    }`,
    "--no-npm",
    "--cached-only",
    "--no-lock",
    "--quiet",
    "--no-code-cache",
    `--v8-flags=${[`--max-old-space-size=${heapMiB}`, ...V8_FLAGS].join()}`,
    // Where core and driver stand in folders, neither has any business with a registry.
    ...(hosts.length === 0 ? ["--no-remote"] : []),
    import.meta.resolve("./process_main.ts"),
  ];
}

function pathOf(url: string): string {
  const path = decodeURIComponent(new URL(url).pathname);
  if (!path.includes(",")) return path;
  throw new TypeError(
    `Cannot run a driver from ${path}: Deno cannot be told of a folder with a comma in its name`,
  );
}

function childEnvironment(): Record<string, string> {
  const own = environment();
  const passed = PASSED_ON.flatMap((name) => own[name] === undefined ? [] : [[name, own[name]]]);
  return {
    NO_COLOR: "1",
    DENO_NO_UPDATE_CHECK: "1",
    DENO_NO_PACKAGE_JSON: "1",
    ...Object.fromEntries(passed),
  };
}

function how(exit: Exit): string {
  return "code" in exit ? `with exit code ${exit.code}` : `by signal ${exit.signal}`;
}
