/**
 * Every step of docs/lesson.md works, in an empty folder outside this project.
 *
 * @module
 */

import { pageTest } from "./support/pages.ts";

pageTest("docs/lesson.md", "");
