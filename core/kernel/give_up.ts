/**
 * Evaluated in front of a plugin: what is imported together is loaded as a whole before the first of it is evaluated,
 * in the order of the imports.
 *
 * @module
 */

import { doBeforePlugin } from "./before_plugin.ts";

doBeforePlugin();
