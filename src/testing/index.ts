/** The conformance suite for drivers, the checkers behind it, and the killer of processes. */
export { testDriver } from "./test-driver.ts";
export type { DriverUnderTest, TestFunction, TestRunner, World } from "./test-driver.ts";
export { silence, until, within } from "./until.ts";
export { idsOf, summary } from "./invariants/history.ts";
export type { HistoryRecord, InvariantName, Operation, Violation } from "./invariants/history.ts";
export { nothingDuplicated, nothingInvented, nothingLost, settledOnlyWhenDone } from "./invariants/delivery.ts";
export type { DeliveryOptions } from "./invariants/delivery.ts";
export { acknowledgedIsStored, definiteFailures } from "./invariants/publishing.ts";
export { effectOnce, fenced } from "./invariants/effects.ts";
export { keyOrder } from "./invariants/key-order.ts";
export type { KeyOrderOptions } from "./invariants/key-order.ts";
export { bounded, progress, resources } from "./invariants/liveness.ts";
export type { ProgressOptions, Resources } from "./invariants/liveness.ts";
export { faultHappened, inFlightAtKill, loud, ProcessWatch } from "./invariants/faults.ts";
export type { Injected } from "./invariants/faults.ts";
export { spawnChild, type Child, type ChildOptions, type Line } from "./child.ts";
export { type ChildSide, runChild } from "./child-side.ts";
