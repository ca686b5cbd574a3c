/**
 * Tells of an error that a callback of the application threw; any value can be thrown.
 *
 * It is an `error` event of the program, as an error in a timer is: `addEventListener("error", ...)` hears of it, and may
 * prevent the default. That default is a message on the standard error stream and not, as it is for `reportError`, the end
 * of the program: a mistake in one callback takes nothing from the other parts of the program, from device or driver.
 */
export function applicationError(error: unknown): void {
  const message = `Error in a callback of the application: ${textOf(error)}`;
  const event = new ErrorEvent("error", { error, message, cancelable: true });
  if (globalThis.dispatchEvent(event)) console.error(message);
}

function textOf(error: unknown): string {
  try {
    return error instanceof Error ? error.stack ?? String(error) : String(error);
  } catch {
    return "something that has no text";
  }
}

/** Calls a callback of the application, if there is one; what it throws is told of, and has no other effect. */
export function callBack<A extends unknown[]>(
  callback: ((...values: A) => unknown) | undefined,
  ...values: A
): void {
  try {
    callback?.(...values);
  } catch (error) {
    applicationError(error);
  }
}
