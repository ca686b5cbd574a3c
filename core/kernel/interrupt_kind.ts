/**
 * How a device tells that it is done, from best to worst: a vector for each queue, one vector for all queues, the
 * interrupt pin, or not at all.
 */
export const INTERRUPTS = ["msix", "shared", "intx", "polling"] as const;

/** One of {@linkcode INTERRUPTS}. */
export type InterruptKind = typeof INTERRUPTS[number];
