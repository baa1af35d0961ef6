export type {
  DeadLetter,
  DeadLetterQuery,
  DeadLetters,
  GroupAdmin,
  GroupInfo,
  ReplayOptions,
  Scheduled,
  ScheduledEvent,
  ScheduledQuery,
  StreamAdmin,
} from "./admin.ts";
export type { ActiveDriver, Bus, RequestContext, RequestOptions, RespondOptions, Scope } from "./bus.ts";
export { connect, createBus } from "./connect.ts";
export { defineEvent, typed } from "./define-event.ts";
export { defineRequest } from "./define-request.ts";
export type { Capabilities, Driver, Member, StreamInfo, StreamOptions } from "./driver.ts";
export { BusError, isBusError, PublishError, PublishManyError, RemoteError, ValidationError } from "./errors.ts";
export type { BusErrorCode, BusErrorOptions, ValidationIssue } from "./errors.ts";
export type {
  BusEvent,
  CheckTemplate,
  DefineEventOptions,
  EventDefinition,
  EventOf,
  InputOf,
  Outgoing,
  Priority,
  PublishOptions,
} from "./event.ts";
export type {
  BatchContext,
  BatchFailure,
  BatchHandler,
  BatchOptions,
  Delivery,
  EventHandler,
  EventIterator,
  Handler,
  Positions,
  PulledDelivery,
  PullOptions,
  SubscribeOptions,
  Subscription,
} from "./handler.ts";
export type { KeyValue, KeyValueChange, KeyValueEntry, KeyValueOptions } from "./key-value.ts";
export { available } from "./load-driver.ts";
export type {
  BackoffOptions,
  BusConfig,
  BusOptions,
  CompressionOptions,
  DriverSections,
  ForeignEvent,
  ForeignFormat,
  ForeignOptions,
  Logger,
  PublishPolicy,
  ReconnectPolicy,
  RetryPolicy,
  WireOptions,
} from "./options.ts";
export { outgoing } from "./outgoing.ts";
export type { PublishOutcome, Receipt } from "./receipt.ts";
export type {
  RequestDefinition,
  RequestInputOf,
  RequestOf,
  ResponseInputOf,
  ResponseOf,
} from "./request-definition.ts";
export type { BusStatus, Health, Stats, SubscriptionHealth } from "./status.ts";
export { Reject, RetryAfter } from "./verdict.ts";
