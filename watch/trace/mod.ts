/**
 * Traces in files: as text, for Perfetto, and as a page.
 *
 * @module
 */

export { traceFile, type TraceFileOptions } from "./file.ts";
