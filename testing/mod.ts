/**
 * What an author of a driver tests it with: a simulated machine that runs it against a model of its device, in every way
 * in which a driver can go wrong, and says what it did wrong. It knows no test framework: what comes of a test is data.
 *
 * @module
 */

export { type DriverTestOptions, testDriver } from "./test_driver.ts";
export {
  type DriverReport,
  type DriverRow,
  DriverTestError,
  failureTexts,
  type Mistake,
  mustPass,
  type RowName,
  ROWS,
  rowText,
} from "./report.ts";
export type { AnyModel, UsedDevice } from "./trial.ts";
export { configView } from "../core/binding/virtio/config_view.ts";
