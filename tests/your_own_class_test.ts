/**
 * Every step of docs/your-own-class.md works, in an empty folder outside this project.
 *
 * @module
 */

import { pageTest } from "./support/pages.ts";

pageTest("docs/your-own-class.md", "#core:third_party");
