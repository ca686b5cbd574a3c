import { ScsiError } from "../classes/scsi/mod.ts";
import { Status } from "../core/class/mod.ts";

/** What the program's exit status means. Stable: scripts depend on it. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  permission: 5,
  protocol: 6,
  driver: 7,
  timeout: 124,
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

/** One of the statuses of {@linkcode EXIT}. */
export type ExitCode = typeof EXIT[keyof typeof EXIT];

/** What each status means, for people. */
export const MEANING: readonly (readonly [ExitCode, string])[] = [
  [EXIT.done, "done"],
  [EXIT.failed, "failed: a device, a file, or its input or output"],
  [EXIT.usage, "wrong usage"],
  [EXIT.notFound, "no such device, unit or port, or no driver for it"],
  [EXIT.refused, "refused for safety: a kernel driver holds the device, no IOMMU"],
  [EXIT.permission, "a permission is missing; the message says which"],
  [EXIT.protocol, "a device broke the protocol"],
  [EXIT.driver, "a driver failed and was given up"],
  [EXIT.timeout, "not done in time (--timeout)"],
  [EXIT.hungUp, "the terminal is gone (SIGHUP)"],
  [EXIT.interrupted, "interrupted (SIGINT, Ctrl-C)"],
  [EXIT.terminated, "terminated (SIGTERM)"],
];

/** An error of which the commands know what the exit status is. */
export class CliError extends Error {
  /** For `catch` blocks that cannot import the class. */
  override readonly name = "CliError";
  /** The program's exit status. */
  readonly exit: ExitCode;

  /** Makes an error; `message` says what, where and why, and what to do next. */
  constructor(exit: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exit = exit;
  }
}

/** A wrong command line. */
export function usageError(message: string): CliError {
  return new CliError(EXIT.usage, message);
}

/** Statuses of a program that was told to end by a signal. */
const BY_SIGNAL: readonly ExitCode[] = [EXIT.hungUp, EXIT.interrupted, EXIT.terminated];

/** Settles when a command is told to end, or its time is over. */
export function untilEnded(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve());
    if (signal.aborted) resolve();
  });
}

/** Whether a command was told to end by a person or a service manager, and not because its time is over. */
export function endedByPerson({ aborted, reason }: AbortSignal): boolean {
  return aborted && BY_SIGNAL.includes(exitCode(reason));
}

/** What to tell of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Which status an error of the core leads to, by its name: the classes are spread over the layers. */
const BY_NAME: Readonly<Record<string, ExitCode>> = {
  NotCapable: EXIT.permission,
  PermissionDenied: EXIT.permission,
  ManifestError: EXIT.usage,
  NoSuchFunction: EXIT.notFound,
  TunableError: EXIT.usage,
  Refusal: EXIT.refused,
  DeviceFault: EXIT.protocol,
  PciFault: EXIT.protocol,
  BusFault: EXIT.driver,
  PlanError: EXIT.driver,
  DriverGone: EXIT.driver,
  TimeoutError: EXIT.timeout,
};

/** The exit status for whatever was thrown. */
export function exitCode(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exit;
  if (!(error instanceof Error)) return EXIT.failed;
  const { code, status } = error as { readonly code?: unknown; readonly status?: unknown };
  if (code === "EACCES" || code === "EPERM") return EXIT.permission;
  if (error instanceof ScsiError && error.isAbsent) return EXIT.notFound;
  if (error.name === "RequestError" && status === Status.gone) return EXIT.driver;
  if (error.name === "RequestError" && status === Status.invalid) return EXIT.protocol;
  return BY_NAME[error.name] ?? EXIT.failed;
}
