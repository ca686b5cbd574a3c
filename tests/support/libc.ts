/**
 * Opens the C library before any test begins: it stays open for good, and the first test to use it would be blamed.
 *
 * @module
 */

import { libc } from "../../core/linux/libc.ts";

libc();
