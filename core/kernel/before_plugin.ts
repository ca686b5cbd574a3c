// A place to leave what is done between the loading of a plugin and its evaluation.

let action: (() => void) | undefined;

/** Keeps what a driver's process does once, when its plugin is loaded and none of it has been evaluated. */
export function beforePlugin(work: () => void): void {
  action = work;
}

/** Does it. */
export function doBeforePlugin(): void {
  action?.();
  action = undefined;
}
