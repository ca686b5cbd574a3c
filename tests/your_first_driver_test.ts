/**
 * Every step of docs/your-first-driver.md works, in an empty folder outside this project.
 *
 * @module
 */

import { pageTest } from "./support/pages.ts";
import { withoutQemu } from "./support/machine.ts";

pageTest("docs/your-first-driver.md", "#core:your_first_driver", withoutQemu);
