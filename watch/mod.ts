/**
 * What people and other programs see of a machine at work: traces, its state at a control socket, figures for Prometheus.
 *
 * @module
 */

export { ControlClient, ControlError, serveControl } from "./control.ts";
export { METRICS_TYPE, metricsText } from "./metrics.ts";
export { type Publisher, publishMetrics, type PublishOptions } from "./publish_metrics.ts";
export { type OfItsDriver, type SeenDevice, type Snapshot, snapshot } from "./snapshot.ts";
export { type Figures, type Served, watchServed } from "./watch_served.ts";
export { traceFile, type TraceFileOptions } from "./trace/mod.ts";
