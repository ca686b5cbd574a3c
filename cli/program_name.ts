/** What a user types who has the program from its source. */
const FROM_SOURCE = "deno run --allow-ffi main.ts";
/** What a user types who has it from the registry, and did not install it. */
const FROM_REGISTRY = "deno run --allow-ffi jsr:@virtio/deno/cli";
/** How `deno install --global` names the configuration of what it installs. */
const INSTALLED = /\/\.([\w.-]+)\/deno\.json$/;

/** How the program was started. */
export interface Started {
  /** URL of its main module. */
  readonly main: string;
  /** The whole command line of its process. */
  readonly commandLine: readonly string[];
  /** Whether it is a program by itself, as `deno compile` makes one. */
  readonly standalone: boolean;
}

/** What a user types to start the program again. */
export function programName({ main, commandLine, standalone }: Started): string {
  if (standalone) return fileName(commandLine[0]);
  const config = commandLine[commandLine.indexOf("--config") + 1] ?? "";
  const [, name] = INSTALLED.exec(config) ?? [];
  return name ?? (main.startsWith("file:") ? FROM_SOURCE : FROM_REGISTRY);
}

/** The name of a program among the ones that a shell knows, whatever must be typed to start it: completions go by it. */
export function shortName(program: string): string {
  return program.includes(" ") ? "virtio" : program;
}

function fileName(path = "virtio"): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
