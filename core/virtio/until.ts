/** How long to leave a device in peace between two looks, in milliseconds. */
const PAUSE_MS = 1;

/**
 * Waits until a device is done.
 *
 * @param done Looks.
 * @param deadline Milliseconds.
 * @param late Makes the error if it is not done by then.
 */
export async function until(
  done: () => boolean,
  deadline: number,
  late: () => Error,
): Promise<void> {
  const end = performance.now() + deadline;
  while (!done()) {
    if (performance.now() > end) throw late();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
