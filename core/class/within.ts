/**
 * What a promise gives, or undefined if that takes longer. Nothing is ended: what is late goes on.
 *
 * By hand, as a class has no dependency: a program takes it from a folder, too, where none of ours would be found.
 *
 * @param milliseconds How long it may take.
 * @throws What the promise is rejected with in time.
 */
export async function within<T>(
  milliseconds: number,
  promise: Promise<T>,
): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
