/**
 * Every step of docs/cookbook.md works, in an empty folder outside this project.
 *
 * @module
 */

import { pageTest } from "./support/pages.ts";

pageTest("docs/cookbook.md", "");
